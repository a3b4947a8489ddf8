import { inTurn, togetherBut } from '@retrap/tooling/vitest'

export default inTurn(
  // Replaces a module.
  togetherBut('test/exact-time.test.ts'),
  4,
  ...['arm/firmware', 'search-machine', 'recorded-live', 'vcpu-worker', 'fork', 'who-wrote'],
  ...['option-roms', 'vga', 'sampling', 'exact-time', 'arm/acpi', 'controllers-save'],
  ...['snapshot', 'drives', 'sleep', 'placement', 'arm/machine', 'restore', 'keyboard', 'direct-boot'],
  ...['loaders/other-kernels', 'bios-services', 'first-checkpoint', 'recorded-models'],
)
