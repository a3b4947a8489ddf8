// Tests of instructions that meet devices, once more: all code is compiled that is executed twice. `RETRAP_TEST_JIT=1` does
// so with all tests of the package. Those of the contract and of semantics are beside themselves.
process.env['RETRAP_TEST_JIT'] = '1'

await import('./device-effects.test.ts')
await import('./repeated-strings.test.ts')
await import('./smm-io.test.ts')
await import('./in-the-middle.test.ts')
await import('./wrap.test.ts')
