import { Signal, type TargetCode, x86Registers } from '@retrap/gdb'
import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { DebugControl, MODE_32, MODE_64 } from '@retrap/x86-cpu'
import { linearAddress } from '../lifecycle/crash.ts'
import { unwind } from '../lifecycle/unwind.ts'
import type { CpuStart, DebuggedCpu } from './debugged-cpu.ts'
import { attachDebugger, type DebuggedMachine, type MachineDebugger } from './machine-debugger.ts'
import { PC_PLACES } from './stop-places.ts'
import { X86State } from './x86-state.ts'
import { P2mType } from '@retrap/p2m'
import { type CachedStep, explain } from '@retrap/paging'
import { breakCommands, type MonitorStops, StopList } from './break-commands.ts'
import {
  catchCommands,
  type Catching,
  type ExceptionNames,
  hex,
  Monitor,
  type MonitorCommand,
  parseAddress,
  pendingCommand,
} from './monitor.ts'
import { machineCommands } from './machine-commands.ts'
import type { GdbMachine, MachineGdbOptions, MonitorAdditions } from './machine-gdb-target.ts'

export { machineGdbTarget } from './machine-gdb-target.ts'

/** Bits of instructions, by mode. */
const SETS: Readonly<Record<number, TargetCode['set']>> = { [MODE_32]: 'x86-32', [MODE_64]: 'x86-64' }

/** A vCPU of a PC. */
class PcCpu extends DebugControl implements DebuggedCpu {
  readonly #vcpu: X86Vcpu
  readonly places = PC_PLACES
  readonly state: X86State
  readonly memory: X86Vcpu['translation']

  constructor(vcpu: X86Vcpu) {
    super(vcpu.cpu)
    this.#vcpu = vcpu
    this.state = new X86State(vcpu)
    this.memory = vcpu.translation
  }

  get activity(): string {
    const { cpu, dormant } = this.#vcpu
    const { halted, waitsForStartup, busy } = cpu
    if (busy) return 'waits for a device'
    if (waitsForStartup) return 'waits for start-up'
    return halted ? 'halted' : dormant ? 'waits for an event' : 'executes'
  }

  get code(): TargetCode {
    const vcpu = this.#vcpu
    return {
      address: linearAddress(vcpu),
      get callers() {
        return unwind(vcpu)
      },
      set: SETS[vcpu.cpu.registers.mode] ?? 'x86-16',
    }
  }

  override resume(how: CpuStart): void {
    super.resume(how)
    this.state.forget()
  }
}

/** Further registers of the processors, by their model. */
function extendedOf({ vcpus }: X86Domain): Parameters<typeof x86Registers>[1] {
  const processor = vcpus[0]?.cpu.processor
  return {
    avx512: processor?.has('AVX512F') === true,
    apx: processor?.has('APX_F') === true,
    amx: processor?.has('AMX_TILE') === true,
  }
}

export function attachPcDebugger(
  domain: X86Domain,
  life: DebuggedMachine['life'],
  isRecorded: boolean,
): MachineDebugger {
  return attachDebugger({
    ...{ domain, life, isRecorded },
    cpus: domain.vcpus.map((vcpu) => new PcCpu(vcpu)),
    registers: x86Registers(64, extendedOf(domain)),
    monitor: (debug, further) => {
      const list = new StopList((place) => debug.stopAt(place), vectorName)
      return pcMonitor(domain, debug, { list, catching: debug }, further)
    },
  })
}

/** Names of exceptions by vector (SDM vol. 3A, "Exceptions and Interrupts"). */
const VECTOR_NAMES: readonly (string | undefined)[] =
  '#DE #DB #NMI #BP #OF #BR #UD #NM #DF - #TS #NP #SS #GP #PF - #MF #AC #MC #XM #VE #CP'
    .split(' ')
    .map((name) => (name === '-' ? undefined : name))

/** The name of an exception. */
const vectorName = (vector: number): string => VECTOR_NAMES[vector] ?? `${vector}`

/** The `monitor` commands of a PC. @param stops - the debugger's own, or a recording's */
function pcMonitor(
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
    pendingCommand(domain, (id) => debug.register('rip', id)),
    {
      usage: 'walk ADDRESS',
      help: 'page tables of a linear address, and what is cached of them',
      run: (cpu, [text]) => describeWalk(domain, cpu, text),
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

function describeWalk(domain: X86Domain, cpu: number, text: string | undefined): string {
  const address = parseAddress(text)
  const vcpu = domain.vcpus[cpu]
  if (address === undefined || vcpu === undefined) return 'write walk ADDRESS\n'
  const explained = vcpu.translation.explainBy(explain, address)
  if (explained === null)
    return `${hex(address)} is not canonical: its upper bits differ from the topmost that is translated\n`
  const { steps, cached, outcome } = explained
  let lines = ''
  for (const { level, name, index, gpa, value, leads, bits } of steps) {
    const place = gpa === undefined ? 'a register' : hex(gpa)
    const entry = value === undefined ? '' : ` ${[hex(value), ...bits].join(' ')},`
    lines += `level ${level}, ${name} ${index}, ${place}:${entry} ${leads}\n`
  }
  lines += steps.length === 0 ? '' : describeCached(cached)
  const at = hex(address)
  if (outcome.kind === 'mapped') return `${lines}${at} is guest-physical ${hex(outcome.gpa)}\n`
  if (outcome.kind === 'second-level') return `${lines}${at}: the guest's map refuses the table\n`
  return `${lines}${at} is not mapped: a read faults at level ${outcome.level}, error code ${hex(outcome.pfec)}\n`
}

/** Describes the start of the vCPU's next walk, and whether the cached steps are still valid. */
function describeCached(cached: readonly CachedStep[]): string {
  const [first] = cached
  if (first === undefined) return 'paging-structure cache: nothing for this address, a walk reads every level\n'
  let lines = `paging-structure cache: a walk begins at level ${first.level}\n`
  for (const { name, level, table, writable, user, executable, agrees } of cached) {
    const rights = [writable && 'R/W', user && 'U/S', !executable && 'XD'].filter(Boolean).join(' ')
    const memory = agrees ? 'as in memory' : 'memory has something else now'
    lines += `  ${name}: table of level ${level} at ${hex(table)}${rights && ` ${rights}`}, ${memory}\n`
  }
  return lines
}

/** Options of `gdbTarget` on a PC. */
export interface PcGdbOptions extends MachineGdbOptions {
  /** The registers of this architecture are described; default `x86-64`, for a guest in any mode. */
  readonly architecture?: 'x86-64' | 'i386'
}

const CS_BASE = 'cs_base'

/** The signals that systems make of exceptions. */
const SIGNALS: Readonly<Record<string, number>> = {
  '#DE': Signal.FPE,
  '#MF': Signal.FPE,
  '#XM': Signal.FPE,
  '#DB': Signal.TRAP,
  '#BP': Signal.TRAP,
  '#UD': Signal.ILL,
  '#AC': Signal.BUS,
}

/** gdb assumes frame pointers without a file with unwind tables. */
function backtrace(debug: MachineDebugger, { nameOf }: PcGdbOptions): MonitorCommand {
  const line = (address: bigint, i: number): string => `#${i} ${hex(address)} ${nameOf?.(address) ?? ''}`.trimEnd()
  return {
    usage: 'backtrace',
    help: 'the callers of the code that this vCPU executes, without frame pointers too',
    run: (cpu) => {
      const { address, callers } = debug.code(cpu)
      return `${[address, ...callers].map(line).join('\n')}\n`
    },
  }
}

/** Shows a PC to gdb. @param additions - commands of its kind of run */
export function pcGdbMachine(
  domain: X86Domain,
  debug: MachineDebugger,
  options: PcGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  return {
    registers: options.architecture === 'i386' ? x86Registers(32, extendedOf(domain)) : debug.registers,
    monitor: pcMonitor(domain, debug, stops, [backtrace(debug, options), ...commands, ...(options.commands ?? [])]),
    exceptionName: vectorName,
    signalOf: (vector) => SIGNALS[vectorName(vector)] ?? Signal.SEGV,
    // gdb looks for the breakpoint at the program counter, which is another address where CS has a base.
    isAtBreakpoint: (cpu) => debug.register(CS_BASE, cpu) === 0n,
    attached: (isAttached) => {
      // A client sees a triple fault before it ends the machine.
      debug.catchesShutdown = isAttached
    },
    watchesBefore: false,
  }
}
