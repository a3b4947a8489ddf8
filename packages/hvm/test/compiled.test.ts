// Replay and devices that answer late, once more: all code is compiled that is executed twice. `RETRAP_TEST_JIT=1` does so
// with all tests of the package.
process.env['RETRAP_TEST_JIT'] = '1'

await import('./device-effects.test.ts')
await import('./replay-cases.test.ts')
await import('./slow-devices.test.ts')
