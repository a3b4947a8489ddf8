import type { X86Domain } from '@retrap/hvm'
import { P2mType } from '@retrap/p2m'
import { type CachedStep, explain } from '@retrap/paging'
import type { MachineDebugger } from './machine-debugger.ts'
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

/** Names of exceptions by vector (SDM vol. 3A, "Exceptions and Interrupts"). */
export const VECTOR_NAMES: readonly (string | undefined)[] =
  '#DE #DB #NMI #BP #OF #BR #UD #NM #DF - #TS #NP #SS #GP #PF - #MF #AC #MC #XM #VE #CP'
    .split(' ')
    .map((name) => (name === '-' ? undefined : name))

/** The name of an exception. */
export const vectorName = (vector: number): string => VECTOR_NAMES[vector] ?? `${vector}`

/** The `monitor` commands of a PC. */
export function pcMonitor(domain: X86Domain, debug: MachineDebugger, further: readonly MonitorCommand[]): Monitor {
  const list = new StopList((place) => debug.stopAt(place), vectorName)
  return monitorWith(domain, debug, { list, catching: debug }, further)
}

/** {@link pcMonitor} with another debugger's stops: a recording has its own. */
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
