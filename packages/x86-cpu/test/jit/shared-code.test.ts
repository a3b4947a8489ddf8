/** Units of code that lies at several linear addresses: they belong to the frames that hold it. */
import { eax, ecx, edx, rbx, rcx, cr3, ptr } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { BareCpu, initialState } from '../support/bare-cpu.ts'

const PROCESSES = 20
const ROUNDS = 1000
/** Guest-physical address of the library's two pages, which are executed elsewhere. */
const LIBRARY = 0x5_0000
/** Guest-physical address of the processes' tables: four pages each. */
const TABLES = 0x10_0000
/** The table of the first 2 MiB, which are mapped to themselves in all processes. */
const LOW = 0x30_2000
const RIGHTS = 7
const CONSTANT = 0x1234_5677

/** Executed once by a process: enters the library at RBX in the address space of RCX. */
function processor(): BareCpu {
  const bare = new BareCpu({ jit: { threshold: 50 } })
  bare.program((asm) => asm.mov(cr3, rcx).mov(ecx, ROUNDS).xor(eax, eax).xor(edx, edx).jmp(rbx))
  bare.program((asm) => {
    const [again, second, constant] = [asm.label('again'), asm.label('second'), asm.label('constant')]
    asm.bind(again).add(eax, ptr(constant)).rol(eax, 3).jmp(second)
    asm.bind(constant).dd(CONSTANT)
    asm
      .org(LIBRARY + 0x1000)
      .bind(second)
      .xor(eax, ecx)
      .dec(ecx)
      .jne(again)
      .hlt()
  }, LIBRARY)
  return bare
}

/** Makes the tables of a process. @returns the linear address of its library */
function map(bare: BareCpu, process: number, frames: readonly [number, number]): number {
  const [root, upper, directory, table] = [0, 1, 2, 3].map((i) => TABLES + 0x4000 * process + 0x1000 * i) as [
    number,
    number,
    number,
    number,
  ]
  bare.write64(root, BigInt(upper | RIGHTS))
  bare.write64(upper, BigInt(LOW | RIGHTS))
  bare.write64(upper + 8, BigInt(directory | RIGHTS))
  bare.write64(directory + 8 * process, BigInt(table | RIGHTS))
  for (const [i, frame] of frames.entries()) bare.write64(table + 8 * (3 * process + i), BigInt(frame | RIGHTS))
  return 0x4000_0000 + process * 0x20_3000
}

/** Runs the library in a process. @returns its result */
function run(bare: BareCpu, process: number, linear: number): number {
  bare.cpu.load(initialState('long'))
  bare.setRegister('rcx', TABLES + 0x4000 * process)
  bare.setRegister('rbx', linear)
  expect(bare.cpu.run(1_000_000).reason).toBe('hlt')
  expect(bare.rip & -0x1000).toBe(linear + 0x1000)
  return Number(bare.register('rax'))
}

/** What the library computes. @param isCounted - 0 where the round takes no part */
function libraryResult(count: number, isCounted: 0 | 1): number {
  let value = 0
  for (let round = ROUNDS; round > 0; round--) {
    value = (value + CONSTANT) | 0
    value = ((value << count) | (value >>> (32 - count))) ^ (round * isCounted)
  }
  return value >>> 0
}

const RESULT = libraryResult(3, 1)

describe('a library that 20 processes execute at different linear addresses', () => {
  test('is compiled once where they share its frames', () => {
    const bare = processor()
    for (let process = 0; process < PROCESSES; process++) {
      const linear = map(bare, process, [LIBRARY, LIBRARY + 0x1000])
      expect(run(bare, process, linear)).toBe(RESULT)
    }
    expect(bare.engine.jitCounts).toMatchObject({ units: 1, live: 1, revived: 0, failures: 0 })
  })

  test('is compiled once where each has frames of its own', () => {
    const bare = processor()
    const library = bare.memory.u8.slice(bare.host.ramMa + LIBRARY, bare.host.ramMa + LIBRARY + 0x2000)
    for (let process = 0; process < PROCESSES; process++) {
      const own = LIBRARY + 0x2000 * process
      bare.load(own, library)
      expect(run(bare, process, map(bare, process, [own, own + 0x1000]))).toBe(RESULT)
    }
    expect(bare.engine.jitCounts).toMatchObject({ units: 1, live: 20, revived: 19, failures: 0 })
  })

  test.each([
    { name: 'first', page: 0, patch: { at: 8, to: 5 } },
    { name: 'second', page: 1, patch: { at: 1, to: 0xd0 } },
  ])('is left at an edge to its $name page where a process has mapped another frame there', ({ page, patch }) => {
    const bare = processor()
    const shared: [number, number] = [LIBRARY, LIBRARY + 0x1000]
    const first = map(bare, 0, shared)
    expect(run(bare, 0, first)).toBe(RESULT)
    const copy = LIBRARY + 0x2000
    const from = bare.host.ramMa + shared[page]!
    bare.load(copy, bare.memory.u8.slice(from, from + 0x1000))
    // ROL EAX, 5 in place of ROL EAX, 3; XOR EAX, EDX in place of XOR EAX, ECX.
    bare.load(copy + patch.at, [patch.to])
    const second = map(bare, 1, page === 0 ? [copy, shared[1]] : [shared[0], copy])
    expect(run(bare, 1, second)).toBe(page === 0 ? libraryResult(5, 1) : libraryResult(3, 0))
    expect(run(bare, 0, first)).toBe(RESULT)
  })
})
