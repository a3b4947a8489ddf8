// Replay, devices that answer late and logs of writes, once more: all code is compiled that is executed twice. `RETRAP_TEST_JIT=1` does so
// with all tests of the package.
process.env['RETRAP_TEST_JIT'] = '1'

await import('./device-effects.test.ts')
await import('./dirty-logs.test.ts')
await import('./replay-cases.test.ts')
await import('./slow-devices.test.ts')
