"""Android Studio's build files say what Maven's say. Nothing here runs Gradle."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "android_demo"
SETTINGS, BUILD = (
    (DEMO / name).read_text() for name in ("settings.gradle.kts", "build.gradle.kts")
)


def properties(pom: Path) -> dict[str, str]:
    found = ET.parse(pom).getroot().find("{*}properties")
    return {
        one.tag.partition("}")[2]: one.text or "" for one in (found if found is not None else ())
    }


def flavours() -> set[str]:
    return {pom.parent.name for pom in (DEMO / "apk").glob("*/pom.xml")}


def source_folders(flavour: str) -> set[str]:
    """Of the modules that Maven puts into a flavour's app."""
    modules = {"core": "core", "app": "app", f"engines-{flavour}": f"engines/{flavour}"}
    wanted = {f"apk/{flavour}"}
    for pom in (DEMO / "apk/pom.xml", DEMO / "apk" / flavour / "pom.xml", DEMO / "app/pom.xml"):
        for dependency in ET.parse(pom).getroot().iterfind("{*}dependencies/{*}dependency"):
            wanted |= {modules.get(dependency.findtext("{*}artifactId", ""), "")} - {""}
    source = ET.parse(DEMO / "pom.xml").getroot().findtext("{*}build/{*}sourceDirectory")
    return {f"{module}/{source}" for module in wanted}


def test_no_version_is_written_down_twice() -> None:
    assert re.findall(r"\d+\.\d+", SETTINGS + BUILD) == []
    assert re.findall(r"(?:[sS]dk|versionCode) = \d", BUILD) == []


def test_every_version_is_in_the_pom() -> None:
    named = set(re.findall(r'\bversion\("([\w.]+)"\)|pom\("([\w.]+)"\)', SETTINGS + BUILD))
    names = {one for pair in named for one in pair if one} - {"version"}
    assert {"android.min", "android.target", "kotlin.version", "serialization.version"} <= names
    assert names <= properties(DEMO / "pom.xml").keys()


def test_the_version_of_the_app_is_the_first_of_the_pom() -> None:
    first = re.search("<version>(.+)</version>", (DEMO / "pom.xml").read_text())
    assert first is not None
    assert first[1] == ET.parse(DEMO / "pom.xml").getroot().findtext("{*}version")


def test_the_flavours_are_maven_s() -> None:
    listed = re.search(r"val flavours = listOf\((.*)\)", BUILD)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == flavours() == {"current", "legacy"}


@pytest.mark.parametrize("flavour", sorted(flavours()))
def test_a_flavour_has_maven_s_source_folders(flavour: str) -> None:
    written = re.findall(r'"([\w/$]+/src/main/kotlin)"', BUILD)
    folders = {one.replace("$flavour", flavour) for one in written}
    assert folders == source_folders(flavour)
    assert all((DEMO / folder).is_dir() for folder in folders)


@pytest.mark.parametrize("flavour", sorted(flavours()))
def test_a_flavour_s_identity_and_formats_are_in_its_pom(flavour: str) -> None:
    own = properties(DEMO / "apk" / flavour / "pom.xml")
    assert re.findall(r'pom\("([\w.]+)", "apk/\$\w+/pom.xml"\)', BUILD) != []
    for name in re.findall(r'pom\("([\w.]+)", "apk/\$\w+/pom.xml"\)', BUILD):
        assert own[name]
    # The build files look for lines such as this one.
    assert (
        f"<application.id>{own['application.id']}</application.id>"
        in (DEMO / "apk" / flavour / "pom.xml").read_text()
    )


def test_files_that_are_named_exist() -> None:
    named = re.findall(r'"((?:app|apk)/[\w/$.]+\.(?:pro|xml)|app/src/main/res)"', BUILD)
    assert len(named) >= 4
    for name in named:
        for flavour in flavours():
            assert (DEMO / name.replace("$flavour", flavour).replace("$it", flavour)).exists(), name
