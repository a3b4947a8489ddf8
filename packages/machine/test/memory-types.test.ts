/** Memory types that a kernel finds where no firmware has run (SDM volume 3A, "Memory Type Range Registers"). */
import { readModelSpecificRegister } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const DEFAULT_TYPE = 0x2ff

/** Reads registers of each processor. */
async function registers(options: Partial<PcOptions>, indices: readonly number[]): Promise<(bigint | undefined)[][]> {
  const kernel = multibootKernel((asm) => asm.hlt())
  const pc = await createPc({ jit: TEST_JIT, memoryBytes: 16 << 20, codeCacheBytes: 4 << 20, kernel, ...options })
  try {
    return pc.domain.vcpus.map(({ cpu }) => indices.map((index) => readModelSpecificRegister(cpu, index)))
  } finally {
    pc.close()
  }
}

describe('of a PC', () => {
  test('write-back, but for the hole below 4 GiB, on all processors', async () => {
    const found = await registers({ cpus: 2, cpu: 'core2,physical-bits=36' }, [
      DEFAULT_TYPE,
      0x200,
      0x201,
      0x202,
      0x203,
    ])
    // E and FE, write-back; 3 to 4 GiB, uncacheable; no further range.
    const each = [0xc06n, 0xc000_0000n, 0xf_c000_0800n, 0n, 0n]
    expect(found).toEqual([each, each])
  })

  test('the first MiB: RAM, the VGA window, ROM', async () => {
    const fixed = [0x250, 0x258, 0x259, ...Array.from({ length: 8 }, (_, i) => 0x268 + i)]
    const [found] = await registers({}, fixed)
    const rom = Array.from({ length: 8 }, () => 0x0505_0505_0505_0505n)
    expect(found).toEqual([0x0606_0606_0606_0606n, 0x0606_0606_0606_0606n, 0n, ...rom])
  })

  test('as wide as its physical addresses', async () => {
    const [found] = await registers({ cpu: 'max,physical-bits=40' }, [0x201])
    expect(found).toEqual([0xff_c000_0800n])
  })
})

test('of a Q35: its configuration space is uncacheable too', async () => {
  const indices = [DEFAULT_TYPE, 0x200, 0x201, 0x202, 0x203]
  const [found] = await registers({ machine: 'q35', cpu: 'core2,physical-bits=36' }, indices)
  expect(found).toEqual([0xc06n, 0xc000_0000n, 0xf_c000_0800n, 0xb000_0000n, 0xf_f000_0800n])
})

test('a processor without such registers is left alone', async () => {
  expect(await registers({ cpu: 'pentium' }, [DEFAULT_TYPE])).toEqual([[undefined]])
})
