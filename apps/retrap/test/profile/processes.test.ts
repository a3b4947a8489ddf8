// Code of processes gets its names from the programs that are found in their memory, and from files of --symbols.
import { join } from 'node:path'
import type { GuestSample } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import type { LinuxMemory } from '@retrap/symbols'
import { GuestProfile } from '../../src/machine/profile/guest-profile.ts'
import { SymbolFile } from '../../src/machine/profile/symbol-file.ts'
import { PARTS, ProcessMemory, program } from '../support/program-memory.ts'

const folder = temporaryFolder('processes')

/** A machine in whose memory there are no symbols. */
const NAMELESS = { domain: { p2m: { leaves: () => [] } }, memory: { u8: new Uint8Array(0) } } as unknown as LinuxMemory

const BASE = 0x7f00_1234_0000n
const CODE = BASE + BigInt(PARTS.code)
const STACK_END = 0x7ffc_0000_4000n
const MAIN = { name: 'main', at: PARTS.code, size: 0x100 }
const LEAF = { name: 'leaf', at: PARTS.code + 0x100, size: 0x80 }

const sample = (fields: Partial<GuestSample>): GuestSample => ({
  ...{ vcpu: 0, ns: 1000, callers: [], stackPointer: 0n, isUser: true, pageTables: 0x1000n, address: 0n },
  ...fields,
})

let count = 0
/** The stacks of samples, without the root. */
function named(
  samples: readonly (readonly [Partial<GuestSample>, ProcessMemory])[],
  files: SymbolFile[] = [],
): string[] {
  const profile = new GuestProfile(join(folder, `${count++}`), 1, files)
  for (const [fields, memory] of samples) profile.onSample(sample(fields), memory)
  profile.resolve(NAMELESS, undefined)
  const { nodes, samples: taken } = profile.builder.build()
  const parents = new Map(nodes.flatMap(({ id, children }) => children.map((child) => [child, id] as const)))
  return taken.map((leaf) => {
    const names: string[] = []
    for (let id: number | undefined = leaf; id !== undefined && id !== 1; id = parents.get(id))
      names.push(nodes[id - 1]!.callFrame.functionName)
    return names.toReversed().join(' > ')
  })
}

test('functions of a library have the names that it has for dynamic linking, and its own name', () => {
  const memory = new ProcessMemory().map(BASE, program({ soname: 'libwork.so.1', dynamic: [MAIN, LEAF] }))
  // The caller's call is the last instruction of its function.
  const callers = [BASE + BigInt(LEAF.at)]
  expect(named([[{ address: BASE + BigInt(LEAF.at) + 0x10n, callers }, memory]])).toEqual([
    'user, page tables 0x1000 > main (in libwork.so.1) > leaf (in libwork.so.1)',
  ])
})

describe('a program', () => {
  test('has the name of the file that the process executes, and places where it has no names', () => {
    const memory = new ProcessMemory().map(BASE, program({ isProgram: true }))
    const stackPointer = memory.stack(STACK_END, ['work', '-v'], '/usr/bin/work')
    expect(named([[{ address: CODE + 5n, callers: [CODE + 0x20n], stackPointer }, memory]])).toEqual([
      'work, page tables 0x1000 > work+0x8020 > work+0x8005',
    ])
  })

  test('is known by its arguments where it executes itself', () => {
    const memory = new ProcessMemory().map(BASE, program({ isProgram: true }))
    const stackPointer = memory.stack(STACK_END, ['/bin/sleep', '5'], '/proc/self/exe')
    // The vDSO follows the stack.
    memory.map(STACK_END, new Uint8Array(8192).fill(7))
    expect(named([[{ address: CODE, stackPointer }, memory]])).toEqual(['sleep, page tables 0x1000 > sleep+0x8000'])
  })

  test('without names has its functions apart as far as its table of them is in memory', () => {
    const starts = Array.from({ length: 1000 }, (_, i) => PARTS.code + 8 * i)
    const memory = new ProcessMemory().map(BASE, program({ isProgram: true, starts }))
    const stackPointer = memory.stack(STACK_END, ['work'], '/bin/work')
    // Entry 510 is the last one in the table's first page.
    memory.unmap(BASE + BigInt(PARTS.frames) + 4096n)
    const addresses = [3, 8 * 100 + 3, 8 * 509 + 7, 8 * 510 + 1].map((at) => CODE + BigInt(at))
    expect(named(addresses.map((address) => [{ address, stackPointer }, memory] as const))).toEqual(
      ['0x8000', '0x8320', '0x8fe8', '0x8ff1'].map((place) => `work, page tables 0x1000 > work+${place}`),
    )
  })

  test('that has loaded a library without a name does not give it its own', () => {
    const memory = new ProcessMemory().map(BASE, program({ dynamic: [MAIN] }))
    const stackPointer = memory.stack(STACK_END, ['work'], '/bin/work')
    expect(named([0x8000n, 0x8500n].map((at) => [{ address: BASE + at, stackPointer }, memory] as const))).toEqual([
      'work, page tables 0x1000 > main',
      'work, page tables 0x1000 > 0x7f0012348500',
    ])
  })

  test('whose names were not in memory at first is looked at again', () => {
    const bytes = program({ soname: 'libwork.so.1', starts: [PARTS.code] })
    const profile = new GuestProfile(join(folder, 'again'), 1)
    const memory = new ProcessMemory().map(BASE, bytes).unmap(BASE + BigInt(PARTS.frames))
    for (let i = 0; i < 8; i++) {
      if (i === 2) memory.map(BASE, bytes)
      profile.onSample(sample({ address: CODE + 0x200n }), memory)
    }
    profile.resolve(NAMELESS, undefined)
    const names = profile.builder.build().nodes.map(({ callFrame }) => callFrame.functionName)
    expect(names).toEqual(['(root)', 'user, page tables 0x1000', 'libwork.so.1+0x8000'])
  })
})

describe('--symbols', () => {
  const file = (options: Parameters<typeof program>[0]): SymbolFile =>
    new SymbolFile('/home/me/work.debug', program({ symbols: [MAIN, LEAF], ...options }))

  test('names what is stripped in the guest, by its build ID', () => {
    const memory = new ProcessMemory().map(BASE, program({ isProgram: true, buildId: 7 }))
    const files = [file({ buildId: 8 }), file({ buildId: 7, symbols: [{ ...MAIN, name: 'start' }] })]
    expect(named([[{ address: CODE }, memory]], files)).toEqual(['user, page tables 0x1000 > start (in work)'])
  })

  test('names what is laid out alike, where there is no build ID', () => {
    const memory = new ProcessMemory().map(BASE, program({ isProgram: true }))
    expect(named([[{ address: CODE }, memory]], [file({ machine: 183 }), file({})])).toEqual([
      'user, page tables 0x1000 > main (in work)',
    ])
  })

  test('names a program whose headers are not mapped, if it lies where it was linked for and has the same code', () => {
    const fixed = 0x40_0000
    const memory = new ProcessMemory().map(BigInt(fixed), program({ fixed })).unmap(BigInt(fixed))
    const address = BigInt(fixed + LEAF.at + 4)
    const callers = [BigInt(fixed + MAIN.at + 9)]
    const whole = 'user, page tables 0x1000 > main (in work) > leaf (in work)'
    expect(named([[{ address, callers }, memory]], [file({ fixed })])).toEqual([whole])
    // Another program at the same place is another one.
    const other = new ProcessMemory().map(BigInt(fixed), program({ fixed, buildId: 77 })).unmap(BigInt(fixed))
    expect(named([[{ address }, other]], [file({ fixed })])).toEqual(['user, page tables 0x1000 > 0x408104'])
  })

  test('refuses what is no program, and what names nothing', () => {
    expect(() => new SymbolFile('a.txt', new Uint8Array(100))).toThrow(
      '--symbols a.txt: it is no ELF program or library',
    )
    expect(() => new SymbolFile('a', program({}))).toThrow('--symbols a: it has no symbols')
  })
})

describe('processes', () => {
  test('that have forked have their programs in common, though nothing of them is mapped', () => {
    const bytes = program({ isProgram: true, dynamic: [MAIN] })
    const [parent, child] = [new ProcessMemory().map(BASE, bytes), new ProcessMemory().map(BASE, bytes)]
    const stackPointer = parent.stack(STACK_END, ['work'], '/bin/work')
    child.stack(STACK_END, ['work'], '/bin/work')
    child.unmap(BASE)
    expect(
      named([
        [{ address: CODE, stackPointer, pageTables: 0x2000n }, child],
        [{ address: CODE, stackPointer }, parent],
      ]),
    ).toEqual(['work, page tables 0x2000 > main (in work)', 'work, page tables 0x1000 > main (in work)'])
  })

  test('with page tables of one that has ended are others', () => {
    const [first, second] = [new ProcessMemory(), new ProcessMemory()]
    const bytes = program({ isProgram: true, dynamic: [MAIN] })
    const before = { address: CODE, stackPointer: first.map(BASE, bytes).stack(STACK_END, ['a'], '/bin/a') }
    const after = {
      address: CODE,
      stackPointer: second.map(BASE, bytes).stack(STACK_END - 0x10_0000n, ['b'], '/bin/b'),
    }
    expect(
      named([
        [before, first],
        [before, first],
        [after, second],
      ]),
    ).toEqual([
      'a, page tables 0x1000 > main (in a)',
      'a, page tables 0x1000 > main (in a)',
      'b, page tables 0x1000 > main (in b)',
    ])
  })

  test('whose memory tells nothing have addresses, after a bounded search', () => {
    const memory = new ProcessMemory()
    const addresses = Array.from({ length: 200 }, (_, i) => 0x5555_0000_0000n + BigInt(i) * 0x10_0000n)
    const stacks = named(addresses.map((address) => [{ address, callers: [address + 0x8_0000n] }, memory] as const))
    expect(stacks[7]).toBe('user, page tables 0x1000 > 0x555500780000 > 0x555500700000')
    expect(memory.peeks).toBeLessThan((1 << 18) + 10_000)
  })
})
