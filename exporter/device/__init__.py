"""The ARM device: adb transport, probe, runtime bundle, on-device agent, emulated device."""
