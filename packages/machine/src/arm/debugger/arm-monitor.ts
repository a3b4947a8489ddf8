import type { ArmDomain } from '@retrap/hvm/arm'
import { ArmP2mType } from '@retrap/p2m'
import { ARM_WALK_OK, ArmPagingContext, ArmWalkResult, type TableReader, walkArm } from '@retrap/paging'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import {
  catchCommands,
  hex,
  machineCommands,
  Monitor,
  type MonitorCommand,
  parseAddress,
  pendingCommand,
} from '../../debugger/monitor.ts'
import { exceptionClassName, exceptionClassNumber } from './exception-classes.ts'

/** PSTATE.I and PSTATE.F. */
const STATUS_I = 1n << 7n
const STATUS_F = 1n << 6n

/** The `monitor` commands of an Arm machine. */
export function armMonitor(
  domain: ArmDomain,
  debug: MachineDebugger,
  further: readonly MonitorCommand[] = [],
): Monitor {
  return new Monitor([
    ...machineCommands(domain, ArmP2mType),
    ...catchCommands(debug, {
      examples: ['data-abort', '0x3c', 'svc'],
      parse: exceptionClassNumber,
      format: exceptionClassName,
    }),
    {
      usage: 'interrupts',
      help: 'what waits at the interrupt controller',
      run: () => describeInterrupts(domain, debug),
    },
    pendingCommand(domain.vcpus, (id) => debug.register('pc', id)),
    {
      usage: 'walk ADDRESS',
      help: 'translation tables of a virtual address',
      run: (cpu, [text]) => describeWalk(domain, debug, cpu, text),
    },
    ...further,
  ])
}

function describeInterrupts({ vcpus, architecture }: ArmDomain, debug: MachineDebugger): string {
  const { gic } = architecture
  let text = `GICv${gic.hasSystemRegisters ? 3 : 2}\n`
  for (const { id, processor } of vcpus) {
    const status = debug.register('cpsr', id)
    const masked = [(status & STATUS_I) !== 0n && 'IRQ', (status & STATUS_F) !== 0n && 'FIQ'].filter(Boolean)
    const waiting = [gic.irqPending(id) && 'an IRQ', gic.fiqPending(id) && 'a FIQ'].filter(Boolean)
    text += `CPU ${id}: ${masked.length === 0 ? 'nothing' : masked.join(' and ')} masked`
    text += `, ${waiting.length === 0 ? 'no interrupt' : waiting.join(' and ')} waits`
    text += processor.interruptWaits ? ', can be taken now\n' : '\n'
  }
  return text
}

function describeWalk(domain: ArmDomain, debug: MachineDebugger, cpu: number, text: string | undefined): string {
  const address = parseAddress(text)
  const vcpu = domain.vcpus[cpu]
  if (address === undefined || vcpu === undefined) return 'write walk ADDRESS\n'
  const context = new ArmPagingContext()
  context.update(vcpu.processor.trapped.system)
  let { level } = ((address >> 55n) & 1n) === 0n ? context.lower : context.upper
  let lines = ''
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  const tables: TableReader = {
    read32: () => false,
    read64: (gpa, into) => {
      const there = debug.readPhysical(gpa, bytes) === bytes.length
      into[0] = view.getUint32(0, true)
      into[1] = view.getUint32(4, true)
      lines += `level ${level}, ${hex(gpa)}: `
      lines += there ? `${hex(view.getBigUint64(0, true))} ${kindOf(into[0]!, level)}\n` : 'no memory\n'
      level++
      return there
    },
    compareExchange32: () => true,
    compareExchange64: () => true,
  }
  const result = new ArmWalkResult()
  const outcome = walkArm(context, tables, Number(address & 0xffff_ffffn), Number(address >> 32n), 0, result)
  if (outcome === ARM_WALK_OK) return `${lines}${hex(address)} is guest-physical ${hex(result.ipa)}\n`
  return `${lines}${hex(address)} is not mapped for a read by EL1\n`
}

/** Returns the kind of a descriptor (Arm ARM, D8.3, "VMSAv8-64 translation table format descriptors"). */
function kindOf(descriptor: number, level: number): string {
  if ((descriptor & 1) === 0 || (level === 3 && (descriptor & 3) !== 3)) return 'invalid'
  if (level === 3) return 'page'
  return (descriptor & 3) === 3 ? 'table' : 'block'
}
