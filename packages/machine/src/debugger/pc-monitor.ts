import type { X86Domain } from '@retrap/hvm'
import { P2mType } from '@retrap/p2m'
import { ACCESS_READ, PagingContext, PagingMode, probe, type TableReader, WALK_OK, WalkResult } from '@retrap/paging'
import type { MachineDebugger } from './machine-debugger.ts'
import { breakCommands, StopList } from './break-commands.ts'
import {
  catchCommands,
  type Catching,
  type ExceptionNames,
  hex,
  machineCommands,
  Monitor,
  type MonitorCommand,
  parseAddress,
  pendingCommand,
} from './monitor.ts'

/** Names of exceptions by vector (SDM vol. 3A, "Exceptions and Interrupts"). */
export const VECTOR_NAMES: readonly (string | undefined)[] =
  '#DE #DB #NMI #BP #OF #BR #UD #NM #DF - #TS #NP #SS #GP #PF - #MF #AC #MC #XM #VE #CP'
    .split(' ')
    .map((name) => (name === '-' ? undefined : name))

/** The name of an exception. */
export const vectorName = (vector: number): string => VECTOR_NAMES[vector] ?? `${vector}`

/** The stops that `monitor` sets. */
export interface MonitorStops {
  /** Those of `break`. */
  readonly list: StopList
  /** Those of `catch`. */
  readonly catching: Catching
}

/** The stops of a machine that runs. */
export const monitorStops = (debug: MachineDebugger): MonitorStops => ({
  list: new StopList((place) => debug.stopAt(place), vectorName),
  catching: debug,
})

/** The `monitor` commands of a PC. */
export function pcMonitor(domain: X86Domain, debug: MachineDebugger, further: readonly MonitorCommand[] = []): Monitor {
  return monitorWith(domain, debug, monitorStops(debug), further)
}

/** {@link pcMonitor} with stops of another debugger: that of a recording. */
export function monitorWith(
  domain: X86Domain,
  debug: MachineDebugger,
  { list, catching }: MonitorStops,
  further: readonly MonitorCommand[],
): Monitor {
  const names = vectorNames(catching)
  return new Monitor([
    ...machineCommands(domain, P2mType),
    ...catchCommands(catching, names),
    ...breakCommands(list, names),
    {
      usage: 'interrupts',
      help: 'what waits at each local APIC',
      run: () => describeInterrupts(domain),
    },
    pendingCommand(domain.vcpus, (id) => debug.register('rip', id)),
    {
      usage: 'walk ADDRESS',
      help: 'page tables of a linear address',
      run: (cpu, [text]) => describeWalk(domain, debug, cpu, text),
    },
    ...further,
  ])
}

function vectorNames(debug: Catching): ExceptionNames {
  return {
    examples: ['#PF', '14', 'triple'],
    parse: (word) => {
      const plain = word.replace(/^#/, '').toLowerCase()
      const named = VECTOR_NAMES.findIndex((name) => name?.slice(1).toLowerCase() === plain)
      const vector = named >= 0 ? named : /^\d{1,2}$/.test(word) ? Number(word) : 32
      return vector < 32 ? vector : undefined
    },
    format: vectorName,
    others: {
      triple: {
        get: () => debug.catchesShutdown,
        set: (caught) => {
          debug.catchesShutdown = caught
        },
      },
    },
  }
}

function describeInterrupts(domain: X86Domain): string {
  let text = ''
  for (const { id, cpu, apic } of domain.vcpus) {
    const { interruptsEnabled, interruptWaits, halted } = cpu
    const next = apic.peek()
    text += `CPU ${id}: IF ${interruptsEnabled ? 1 : 0}${halted ? ', halted' : ''}`
    text += `, processor priority ${hex(apic.processorPriority)}`
    text += next >= 0 ? `, vector ${hex(next)} is next` : ', no vector waits'
    text += interruptWaits ? ', can be taken now\n' : '\n'
  }
  return text
}

function describeWalk(domain: X86Domain, debug: MachineDebugger, cpu: number, text: string | undefined): string {
  const address = parseAddress(text)
  const vcpu = domain.vcpus[cpu]
  if (address === undefined || vcpu === undefined) return 'write walk ADDRESS\n'
  const context = new PagingContext(domain.engine.processor.paging)
  vcpu.cpu.registers.configurePaging(context)
  let level: number = context.mode
  let lines = ''
  const read = (gpa: number, into: Uint32Array, words: number): boolean => {
    const bytes = new Uint8Array(4 * words)
    const there = debug.readPhysical(gpa, bytes) === bytes.length
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < words; i++) into[i] = view.getUint32(4 * i, true)
    const value = words === 2 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true))
    lines += `level ${level--}, ${hex(gpa)}: ${there ? describeEntry(value) : 'no memory'}\n`
    return there
  }
  const tables: TableReader = {
    read32: (gpa, into) => read(gpa, into, 1),
    read64: (gpa, into) => read(gpa, into, 2),
    compareExchange32: () => true,
    compareExchange64: () => true,
  }
  const result = new WalkResult()
  const [lo, hi] = [Number(address & 0xffff_ffffn), Number(address >> 32n)]
  if (context.mode === PagingMode.PAE) level--
  const outcome = probe(context, tables, lo, hi, ACCESS_READ, result)
  if (outcome === WALK_OK) return `${lines}${hex(address)} is guest-physical ${hex(result.gpa)}\n`
  return `${lines}${hex(address)} is not mapped for a supervisor's read\n`
}

/** Bits of an entry that all levels have, by their names in the manual (SDM vol. 3A, "4-Level Paging"). */
const ENTRY_BITS: readonly (readonly [bit: bigint, name: string])[] = [
  [0n, 'P'],
  [1n, 'R/W'],
  [2n, 'U/S'],
  [3n, 'PWT'],
  [4n, 'PCD'],
  [5n, 'A'],
  [6n, 'D'],
  [63n, 'XD'],
]

function describeEntry(value: bigint): string {
  const names = ENTRY_BITS.filter(([bit]) => ((value >> bit) & 1n) === 1n).map(([, name]) => name)
  return `${hex(value)}${names.map((name) => ` ${name}`).join('')}`
}
