"""The ground under all stations: what each of them would otherwise write for itself."""
