/**
 * Damaged and lying files through the command line: kernels of each format, firmware, option ROMs, programs to
 * disassemble, memory dumps. No uncaught error, no undocumented exit code, no growth of memory, no run that outlives its
 * `--timeout`, and no failure without a word.
 */
import type { Rng, Soak } from '@retrap/tooling/soak'
import { ascii, elfImage, join, linuxImage, multibootHeader, note, words } from '@retrap/tooling/images'
import { elfCore, fourLevelMemory, limeFile } from '../support/dumps.ts'
import { elfFile, peFile } from '../support/executables.ts'
import { HostileRuns } from '../support/hostile-runs.ts'

const TIMEOUT = 0.05
/** What a command may take that has no `--timeout` of its own. */
const PATIENCE_SECONDS = 4
const BASE = 0x10_0000
/** `cli; hlt; jmp` to them. */
const HALT = Uint8Array.of(0xfa, 0xf4, 0xeb, 0xfc)
const PT_LOAD = 1
const PT_NOTE = 4
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff]

/** A good file, and what to do with it. */
interface Case {
  readonly name: string
  readonly bytes: Uint8Array
  /** The command line without the file. */
  readonly args: (rng: Rng, path: string) => string[]
}

const run =
  (option: string) =>
  (rng: Rng, path: string): string[] => [
    ...['run', option, path, '--memory', rng.pick(['16M', '4M', '64M']), '--timeout', String(TIMEOUT)],
    ...(option === '--kernel' && rng.chance(1, 4) ? ['--initrd', path] : []),
    ...(option === '--kernel' && rng.chance(1, 4) ? ['--append', 'x'.repeat(rng.below(5000))] : []),
    ...(option === '--kernel' && rng.chance(1, 4) ? ['--module', `${path} text`] : []),
  ]

function optionRom(): Uint8Array {
  const rom = new Uint8Array(512)
  rom.set([0x55, 0xaa, 1, 0xcb])
  rom.set(join(ascii('PCIR'), words(0x1234_5678, 0x18_0000)), 0x20)
  rom[0x18] = 0x20
  return rom
}

function walkArgs(rng: Rng, path: string): string[] {
  const all = rng.chance()
  const mode = rng.chance(1, 3) ? ['--mode', rng.pick(['4-level', 'pae', '2-level', '5-level'])] : []
  const cr3 = rng.chance(1, 3) ? ['--cr3', `0x${(rng.chance() ? 0x1000 : rng.u32()).toString(16)}`] : []
  const what = all ? ['--all', '--start', '0', '--stop', '0x200000'] : [`0x${rng.u64().toString(16)}`, '0x0']
  return ['walk', path, ...what, ...mode, ...cr3, ...(rng.chance(1, 4) ? ['--raw'] : [])]
}

const CASES: readonly Case[] = [
  { name: 'bzImage', bytes: linuxImage(), args: run('--kernel') },
  { name: 'bzImage, 64-bit', bytes: linuxImage({ xloadflags: 3, setupSects: 0 }), args: run('--kernel') },
  {
    name: 'multiboot ELF',
    bytes: elfImage(32, BASE + 12, [{ type: PT_LOAD, physicalAddress: BASE, bytes: join(multibootHeader(3), HALT) }]),
    args: run('--kernel'),
  },
  {
    name: 'multiboot with address fields',
    bytes: join(multibootHeader(0x1_0003, BASE, BASE, BASE + 0x40, BASE + 0x80, BASE + 32), HALT, new Uint8Array(28)),
    args: run('--kernel'),
  },
  {
    name: 'PVH ELF',
    bytes: elfImage(64, BASE, [
      { type: PT_LOAD, physicalAddress: BASE, virtualAddress: BASE, bytes: HALT, memoryBytes: 0x2000 },
      { type: PT_NOTE, bytes: note('Xen', 18, words(BASE)) },
    ]),
    args: run('--kernel'),
  },
  { name: 'firmware', bytes: new Uint8Array(0x1_0000).fill(0xf4), args: run('--firmware') },
  {
    name: 'option ROM',
    bytes: optionRom(),
    args: (rng, path) => [...run('--option-rom')(rng, path), '--kernel', path],
  },
  {
    name: 'ELF program',
    bytes: elfFile(64, [0x90, 0xc3, 0xe8, 0, 0, 0, 0, 0xc3], [{ name: 'main', value: 0x401000, size: 2, info: 0x12 }]),
    args: (_rng, path) => ['disasm', path],
  },
  {
    name: 'ELF program, 32-bit',
    bytes: elfFile(32, [0x90, 0xc3, 0x0f, 0x0b], [{ name: 'start', value: 0x401000, size: 4, info: 0x10 }]),
    args: (_rng, path) => ['disasm', path],
  },
  { name: 'PE program', bytes: peFile([0x55, 0xc3], 'entry'), args: (_rng, path) => ['disasm', path] },
  {
    name: 'ELF core',
    bytes: elfCore(64, [{ gpa: 0, bytes: fourLevelMemory().bytes }], [[0x8001_0033n, 0n, 0n, 0x1000n, 0xa0n]]),
    args: walkArgs,
  },
  { name: 'ELF core, 32-bit', bytes: elfCore(32, [{ gpa: 0, bytes: fourLevelMemory().bytes }]), args: walkArgs },
  { name: 'LiME', bytes: limeFile([{ gpa: 0, bytes: fourLevelMemory().bytes }]), args: walkArgs },
  { name: 'plain memory', bytes: fourLevelMemory().bytes, args: walkArgs },
]

/** One change to a file: of a bit, a field, its length, or a piece of it. */
function damage(rng: Rng, bytes: Uint8Array): Uint8Array {
  const length = bytes.length
  if (length === 0) return bytes
  const head = Math.min(length, rng.pick([0x40, 0x80, 0x300, length]))
  const at = rng.below(head)
  const copy = Uint8Array.from(bytes)
  switch (rng.below(6)) {
    case 0:
      copy[at] = (copy[at] as number) ^ (1 << rng.below(8))
      return copy
    case 1:
    case 2: {
      const size = rng.pick([1, 2, 4, 8] as const)
      const start = at - (at % size)
      const value = rng.chance() ? rng.pick(EDGES) : rng.u32()
      for (let i = 0; i < size && start + i < length; i++) {
        copy[start + i] = i < 4 ? (value >>> (8 * i)) & 0xff : rng.pick([0, 0xff])
      }
      return copy
    }
    case 3:
      return copy.subarray(0, rng.below(length + 1))
    case 4: {
      const from = rng.below(length)
      copy.copyWithin(at, from, from + rng.below(64))
      return copy
    }
    default:
      return join(copy, rng.bytes(rng.below(64)))
  }
}

let runs: HostileRuns | undefined

/** See the file's comment. */
export const soak: Soak = {
  name: 'hostile-files',
  count: 10_000,
  async setup() {
    runs = new HostileRuns('hostile-files')
    await runs.warmUp()
  },
  async step(rng) {
    if (runs === undefined) return 'not set up'
    const { name, bytes, args } = rng.pick(CASES)
    let file = bytes
    const changes = rng.between(1, 4)
    for (let i = 0; i < changes; i++) file = damage(rng, file)
    rng.note('format', name)
    const line = args(rng, runs.file('input', file))
    rng.note('arguments', line.join(' '))
    rng.note('file', () => Buffer.from(file.subarray(0, 1024)).toString('hex'))
    return (await runs.run(line, line[0] === 'run' ? TIMEOUT : PATIENCE_SECONDS)).violation
  },
  async teardown() {
    await runs?.close()
  },
}
