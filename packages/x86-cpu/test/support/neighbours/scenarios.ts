// What vCPUs do to each other at the same time: programs that count what should not be.
import * as a from '@retrap/x86-assembler'
import { CODE } from '../bare-cpu.ts'
import { MAPPED, NeighbourMachine, PAGES, type NeighbourOptions } from './threads.ts'

/** Words: what the writer has made public, and the reader has seen of it; how often that has looked, and found what is wrong. */
const [VERSION, SEEN, ROUNDS, WRONG, STOP] = [0x20_0000, 0x20_0040, 0x20_0080, 0x20_00c0, 0x20_0100] as const
const WRITER = 0x1_8000
/** Functions whose result is in the instruction; and one whose instruction lies in two pages. */
const FUNCTION = 0x9003
const OTHER = 0x9043
const CROSSING = 0xafff
const FRAMES = [0x22_0000, 0x23_0000] as const
/** A linear page, mapped by the first entry of the table. */
const LINEAR = 0x40_0000
const TABLE = PAGES + 0x1000

/** A thread's function, and the word that makes its version public. */
interface Side {
  readonly address: number
  readonly version: number
}
const SIDES: readonly Side[] = [
  { address: FUNCTION, version: VERSION },
  { address: OTHER, version: SEEN },
]

interface Scenario {
  /** The reader: EDI has the version, and EAX is to be that or a later one. */
  readonly look?: (asm: a.Assembler) => void
  /** Makes version ESI, before that becomes public. */
  readonly change?: (asm: a.Assembler, patched: number) => void
  /** The same by the domain's thread. */
  readonly changeOutside?: (machine: NeighbourMachine, version: number) => Promise<void> | void
  readonly afterwards?: (asm: a.Assembler) => void
  /** Instead of all that: both threads do this, and a version is what the other one makes. */
  readonly mutual?: (asm: a.Assembler, own: Side, other: Side) => void
  readonly prepare?: (machine: NeighbourMachine) => void
  readonly options?: NeighbourOptions
  /** At the end: what is wrong. */
  readonly check?: (machine: NeighbourMachine) => number
}

/** Each thread adds 1 to one operand, and to a word of its own. */
const adds = (operand: number, add: (asm: a.Assembler, operand: number, isFirst: boolean) => void): Scenario => ({
  mutual: (asm, own) => {
    add(asm, operand, own.version === VERSION)
    asm.inc(a.dword(own.version)).mov(a.eax, 1).mov(a.edi, 1)
  },
  check: (machine) => {
    const sum = machine.read(VERSION) + machine.read(SEEN)
    return ((machine.memory.readU32(machine.ramMa + operand) - sum) & 0xff_ffff) === 0 ? 0 : 1
  },
})
const lockedAdd = (asm: a.Assembler, operand: number): void => void asm.lock().inc(a.dword(operand))

/** Calls a function behind a serialising instruction. */
const call = (address: number) => (asm: a.Assembler) =>
  void asm.xor(a.eax, a.eax).cpuid().mov(a.ebx, address).call(a.ebx)
/** The changed instruction follows at once, without a branch. */
const inline = (serialise: (asm: a.Assembler) => void): Scenario => ({
  look: (asm) => {
    serialise(asm)
    asm.align(4, 0x90).nop().nop().nop().bind(asm.label('patched')).mov(a.eax, 0)
  },
  change: (asm, patched) => void asm.mov(a.dword(patched + 1), a.esi),
})

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'code behind CPUID': inline((asm) => void asm.xor(a.eax, a.eax).cpuid()),
  'code behind MOV to CR0': inline((asm) => void asm.mov(a.eax, a.cr0).xor(a.eax, 2).mov(a.cr0, a.eax)),
  'code behind IRET': inline((asm) => {
    const next = asm.label()
    asm.pushfd().push(a.cs).call(next).bind(next).add(a.dword(a.esp), 5).iretd()
  }),
  'code that is called': { look: call(FUNCTION), change: (asm) => void asm.mov(a.dword(FUNCTION + 1), a.esi) },
  'code that each changes for the other, in one page': {
    mutual: (asm, own, other) => {
      asm
        .inc(a.esi)
        .mov(a.dword(other.address + 1), a.esi)
        .mov(a.dword(other.version), a.esi)
      call(own.address)(asm.mov(a.edi, a.dword(own.version)))
    },
  },
  'code in two pages': {
    look: call(CROSSING),
    change: (asm) => void asm.mov(a.dword(CROSSING + 1), a.esi).mov(a.dword(0xa800), a.esi),
  },
  'code, more often than rings are long': {
    look: call(FUNCTION),
    change: (asm) => {
      const again = asm.mov(a.edx, 300).here()
      asm
        .mov(a.dword(FUNCTION + 1), a.esi)
        .dec(a.edx)
        .jne(again)
    },
  },
  'code, by a device': {
    look: call(FUNCTION),
    changeOutside: ({ memory, ramMa }, version) => memory.writeU32(ramMa + FUNCTION + 1, version),
  },
  'the map of guest-physical addresses': {
    prepare: ({ memory, map }) => memory.writeU32(map, FRAMES[0]),
    look: (asm) => void asm.mov(a.eax, a.dword(MAPPED)),
    changeOutside: async (machine, version) => {
      const { memory, neighbours } = machine
      machine.write(FRAMES[version & 1]!, version)
      Atomics.store(memory.i32, machine.map >>> 2, FRAMES[version & 1]!)
      const epoch = neighbours.dropAll()
      for (;;) {
        const seen = Atomics.load(memory.i32, neighbours.acknowledgedWord)
        if (neighbours.haveDropped(epoch)) break
        const { async, value } = Atomics.waitAsync(memory.i32, neighbours.acknowledgedWord, seen, 10_000)
        if (async && (await value) === 'timed-out') throw new Error('no acknowledgement')
      }
      machine.write(FRAMES[(version + 1) & 1]!, 0)
    },
  },
  'tables, and a shootdown': {
    prepare: ({ memory, ramMa }) => {
      memory.writeU32(ramMa + PAGES, 0x83)
      memory.writeU32(ramMa + PAGES + 4, TABLE | 7)
      memory.writeU32(ramMa + TABLE, FRAMES[0] | 7)
    },
    look: (asm) => void asm.invlpg(a.byte(LINEAR)).mov(a.dword(SEEN), a.edi).mov(a.eax, a.dword(LINEAR)),
    change: (asm) => {
      asm.mov(a.edx, a.esi).and(a.edx, 1).shl(a.edx, 16).add(a.edx, FRAMES[0]).mov(a.dword(a.edx), a.esi)
      asm.or(a.edx, 7).mov(a.dword(TABLE), a.edx)
    },
    afterwards: (asm) => {
      const [wait, fine] = [asm.here(), asm.label()]
      // At the end nobody says that it has seen the version: the old frame stays.
      asm.cmp(a.dword(STOP), 0).jne(fine).pause().cmp(a.dword(SEEN), a.esi).jb(wait)
      asm.and(a.edx, -8).xor(a.edx, 0x1_0000).mov(a.dword(a.edx), 0).bind(fine)
    },
  },
}

/** The first one adds to the last three bytes of an operand across 8 bytes. */
const overlapping = (asm: a.Assembler, operand: number, isFirst: boolean): void => {
  if (isFirst) asm.lock().add(a.dword(operand - 1), 0x100)
  else asm.lock().inc(a.dword(operand))
}
const pairs = (asm: a.Assembler, operand: number): void => {
  const again = asm.mov(a.eax, a.dword(operand)).xor(a.edx, a.edx).here()
  asm.mov(a.ebx, a.eax).mov(a.ecx, a.edx).inc(a.ebx).lock().cmpxchg8b(a.qword(operand)).jne(again)
}
const widePairs = (asm: a.Assembler, operand: number): void => {
  const again = asm
    .mov(a.rax, a.qword(operand))
    .mov(a.rdx, a.qword(operand + 8))
    .here()
  asm.mov(a.rbx, a.rax).mov(a.rcx, a.rdx).inc(a.ebx).inc(a.rcx).lock().cmpxchg16b(a.xmmword(operand)).jne(again)
}
const inLongMode = (machine: NeighbourMachine): void => {
  machine.bits = 64
  machine.memory.writeU32(machine.ramMa + PAGES, TABLE | 7)
  machine.memory.writeU32(machine.ramMa + TABLE, (TABLE + 0x1000) | 7)
  for (const half of [0, 1]) machine.memory.writeU32(machine.ramMa + TABLE + 0x1000 + 8 * half, (half << 21) | 0x87)
}
Object.assign(SCENARIOS, {
  'locked additions across 8 bytes': adds(0x22_0007, lockedAdd),
  'locked additions across a line': adds(0x22_003e, lockedAdd),
  'locked additions across pages': adds(0x22_0fff, lockedAdd),
  'locked additions within 8 bytes': adds(0x22_0001, lockedAdd),
  'locked additions across 8 bytes and within': adds(0x22_0008, overlapping),
  'locked additions across 8 bytes and within, of threads that come and go': {
    ...adds(0x22_0008, overlapping),
    options: { turn: 3 },
  },
  'locked additions beside code': adds(CODE + 0x800, lockedAdd),
  'CMPXCHG8B across a line': adds(0x22_003c, pairs),
  // One operand has its page to itself, the other has code beside it.
  CMPXCHG16B: { ...adds(0x1_0000, widePairs), prepare: inLongMode },
  'CMPXCHG16B beside code': { ...adds(CODE + 0x800, widePairs), prepare: inLongMode },
})

/** What a scenario has come to. */
export interface Outcome {
  readonly ends: readonly string[]
  /** How often something was changed, and looked at, and in how many milliseconds. */
  readonly versions: number
  readonly rounds: number
  readonly ms: number
  /** Looks that saw an older version. */
  readonly wrong: number
}

/** Runs a scenario until the reader has looked so often, at as many versions, or for so long, but at a hundred versions. */
export async function runScenario(
  { look, change, changeOutside, afterwards, prepare, mutual, check, options: own }: Scenario,
  { rounds, ms }: { readonly rounds: number; readonly ms: number },
  options: NeighbourOptions,
): Promise<Outcome> {
  const machine = new NeighbourMachine()
  prepare?.(machine)
  for (const at of [FUNCTION, OTHER, CROSSING]) machine.program(at, (asm) => void asm.mov(a.eax, 0).ret())
  const reader = (at: number, body: (asm: a.Assembler) => void): number =>
    machine.program(at, (asm) => {
      // A stack of its own, but for readers that do the same.
      const [again, fine] = [
        asm
          .mov(a.esp, at + 0x6_0800)
          .xor(a.esi, a.esi)
          .here(),
        asm.label(),
      ]
      body(asm)
      asm.cmp(a.eax, a.edi).jae(fine).lock().inc(a.dword(WRONG)).bind(fine)
      asm.lock().inc(a.dword(ROUNDS)).cmp(a.dword(STOP), 0).je(again).hlt()
    })
  const patched = reader(CODE, (asm) =>
    mutual === undefined ? look?.(asm.mov(a.edi, a.dword(VERSION))) : mutual(asm, SIDES[0]!, SIDES[1]!),
  )
  if (mutual !== undefined) reader(WRITER, (asm) => mutual(asm, SIDES[1]!, SIDES[0]!))
  else if (change !== undefined) {
    machine.program(WRITER, (asm) => {
      const [again, wait] = [asm.xor(a.esi, a.esi).here(), asm.label()]
      asm.inc(a.esi)
      change(asm, patched)
      asm.mov(a.dword(VERSION), a.esi)
      afterwards?.(asm)
      asm.mov(a.ecx, 20).bind(wait).dec(a.ecx).jne(wait).cmp(a.dword(STOP), 0).je(again).hlt()
    })
  }
  const readers = Array.from({ length: options.readers ?? 1 }, () => CODE)
  const entries = changeOutside === undefined ? [...(mutual === undefined ? readers : [CODE]), WRITER] : readers
  const ends = machine.start(entries, { ...options, ...own })
  let isOver = false
  ends.catch(() => (isOver = true))
  const sleep = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2))
  while (machine.read(ROUNDS) < 2 && !isOver) await sleep()
  const begun = performance.now()
  // An addition takes a few nanoseconds.
  const most = check === undefined ? rounds : 50 * rounds
  for (let version = 1; !isOver; version++) {
    const done = Math.min(machine.read(ROUNDS), machine.read(VERSION))
    const late = performance.now() - begun - ms
    if (done >= most || (done >= 100 && late > 0)) break
    if (late > 20_000) throw new Error(`only ${done} of ${rounds} rounds`)
    await changeOutside?.(machine, version)
    if (changeOutside !== undefined) machine.write(VERSION, version)
    if (changeOutside === undefined || version % 512 === 0) await sleep()
  }
  machine.write(STOP, 1)
  const [versions, looked, end] = [machine.read(VERSION), machine.read(ROUNDS), performance.now()]
  return {
    ends: await ends,
    versions,
    rounds: looked,
    ms: end - begun,
    wrong: machine.read(WRONG) + (check?.(machine) ?? 0),
  }
}
