import { expect, test } from 'vitest'
import { lackOf } from '../../src/commands/exec/lacks.ts'

test.each([
  { code: 'c5fdfec1', cpu: 'core2', said: 'vpaddd (AVX2) is not there in the CPU model core2; --cpu max has it' },
  {
    code: '0f38f000',
    cpu: 'max,-movbe',
    said: 'movbe (MOVBE) is not there in the CPU model max,-movbe; --cpu max has it',
  },
  { code: 'c5fdfec1', cpu: undefined },
  // Of two models that have it the first is told.
  {
    code: '660f380000',
    cpu: 'opteron',
    said: 'pshufb (SSSE3) is not there in the CPU model opteron; --cpu max has it',
  },
  {
    code: '62f17c4858c1',
    cpu: undefined,
    said: 'vaddps (AVX512F) is not there in the CPU model max; --cpu everything has it',
  },
  // VSM4RNDS4 xmm0, xmm1, xmm2
  {
    code: 'c4e273dac2',
    cpu: undefined,
    said: 'vsm4rnds4 (AVX and SM4) is not there in the CPU model max; --cpu everything has it',
  },
  { code: '0fa2', cpu: 'core2' },
  // UD2, UD1, and bytes of no instruction.
  { code: '0f0b', cpu: 'core2' },
  { code: '0fb9c0', cpu: 'core2' },
  { code: 'f00f0b', cpu: 'core2' },
  { code: 'c5', cpu: 'core2' },
  { code: '', cpu: 'core2' },
])('$code of a program, on $cpu: $said', async ({ code, cpu, said }) => {
  const lack = await lackOf({ bytes: new Uint8Array(Buffer.from(code, 'hex')), mode: 64 }, cpu)
  expect(lack).toBe(said && `the instruction ${said}`)
})
