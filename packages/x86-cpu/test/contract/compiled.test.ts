// The instruction contract once more, in compiled code: fewer encodings, of every other form, each executed until it is compiled.
process.env['RETRAP_TEST_JIT'] = '1'

await import('./contract.test.ts')
