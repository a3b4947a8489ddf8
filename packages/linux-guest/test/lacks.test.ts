import { expect, test } from 'vitest'
import { lackOf } from '@retrap/linux-guest/jobs/lacks'

test.each([
  { code: 'c5fdfec1', cpu: 'core2', lacks: 'vpaddd (AVX2)', has: 'max' },
  { code: '0f38f000', cpu: 'max,-movbe', lacks: 'movbe (MOVBE)', has: 'max' },
  { code: 'c5fdfec1', cpu: undefined },
  // Of two models that have it the first is told.
  { code: '660f380000', cpu: 'opteron', lacks: 'pshufb (SSSE3)', has: 'max' },
  { code: '62f17c4858c1', cpu: undefined, lacks: 'vaddps (AVX512F)', has: 'everything' },
  // VSM4RNDS4 xmm0, xmm1, xmm2
  { code: 'c4e273dac2', cpu: undefined, lacks: 'vsm4rnds4 (AVX and SM4)', has: 'everything' },
  { code: '0fa2', cpu: 'core2' },
  // UD2, UD1, and bytes of no instruction.
  { code: '0f0b', cpu: 'core2' },
  { code: '0fb9c0', cpu: 'core2' },
  { code: 'f00f0b', cpu: 'core2' },
  { code: 'c5', cpu: 'core2' },
  { code: '', cpu: 'core2' },
])('$code of a program, on $cpu: $lacks', async ({ code, cpu, lacks, has }) => {
  const lack = await lackOf({ bytes: new Uint8Array(Buffer.from(code, 'hex')), mode: 64 }, cpu)
  const model = cpu ?? 'max'
  expect(lack).toBe(lacks && `the instruction ${lacks} is not there in the CPU model ${model}; --cpu ${has} has it`)
})
