import { inTurn, togetherBut } from '@retrap/tooling/vitest'

export default inTurn(
  // Replaces a module.
  togetherBut('test/exact-time.test.ts'),
  3,
  ...['arm/firmware', 'search-machine', 'recorded-live', 'vcpu-worker', 'fork', 'who-wrote'],
  ...['option-roms', 'vga', 'sampling', 'exact-time', 'arm/acpi', 'controllers-save'],
)
