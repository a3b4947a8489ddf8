import type { LastWriter, MachineDebugger, ReplayStop } from '@retrap/machine'
import { describeDivergence } from '@retrap/machine/debug'
import { z } from 'zod'
import { describe } from './machine-tools.ts'
import { addressArgument, type ToolParts, machineToolOf, text, type Tool } from './tool.ts'
import { ToolError } from './tool-error.ts'

/** Registers of a PC that are shown, in lines. */
const REGISTERS: readonly (readonly string[])[] = [
  ['rip', 'eflags', 'cs', 'ss'],
  ['rax', 'rbx', 'rcx', 'rdx'],
  ['rsi', 'rdi', 'rbp', 'rsp'],
  ['r8', 'r9', 'r10', 'r11'],
  ['r12', 'r13', 'r14', 'r15'],
  ['ds', 'es', 'fs', 'gs'],
  ['cr0', 'cr2', 'cr3', 'cr4'],
  ['efer', 'fs_base', 'gs_base', 'cs_base'],
]
/** Registers of an Arm board that are shown, in lines. */
const ARM_REGISTERS: readonly (readonly string[])[] = [
  ['pc', 'sp', 'cpsr'],
  ...Array.from({ length: 8 }, (_, i) =>
    [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3].filter((n) => n < 31).map((n) => `x${n}`),
  ),
  ['ESR_EL1', 'FAR_EL1', 'ELR_EL1', 'SPSR_EL1'],
  ['SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1'],
  ['VBAR_EL1', 'TPIDR_EL1', 'SP_EL0'],
]
const MOST_BYTES = 4096
const cpuArgument = z.int().min(0).max(127).optional().describe('default 0')

/** Tools that look into a machine, and go through its past. */
export function debugTools(parts: ToolParts): readonly Tool[] {
  const machineTool = machineToolOf(parts)
  return [
    machineTool(
      'registers',
      'Returns registers of a processor, and what it does.',
      { cpu: cpuArgument },
      async (machine, { cpu = 0 }, call) => {
        const registers = machine.facts.kind === 'virt' ? ARM_REGISTERS : REGISTERS
        const shown = await machine.inspect(call, (debug) => {
          checkCpu(debug, cpu)
          const values = registers.flat().map((name) => [name, hex(debug.register(name, cpu))] as const)
          return { doing: debug.describeCpu(cpu), values: Object.fromEntries(values) }
        })
        const lines = registers.map((names) => names.map((name) => `${name}=${shown.values[name]}`).join(' '))
        return text([describe(machine), shown.doing, ...lines].join('\n'), shown.values)
      },
      { isReadOnly: true },
    ),
    machineTool(
      'memory',
      'Returns memory in hexadecimal, as a processor sees it at a linear address, or at a guest-physical one. Nothing of the guest changes.',
      {
        address: addressArgument,
        length: z.int().min(1).max(MOST_BYTES).optional().describe('bytes; default 64'),
        physical: z.boolean().optional(),
        cpu: cpuArgument,
      },
      async (machine, { address, length = 64, physical = false, cpu = 0 }, call) => {
        const at = parse(address)
        const bytes = new Uint8Array(length)
        const there = await machine.inspect(call, (debug) => {
          checkCpu(debug, cpu)
          return physical ? debug.readPhysical(physicalOf(at), bytes) : debug.read(at, bytes, cpu)
        })
        if (there === 0)
          throw new ToolError(
            'ERR_ARGUMENT',
            `there is no memory at ${physical ? 'guest-physical' : 'linear'} address ${hex(at)}`,
          )
        return text(
          dump(at, bytes.subarray(0, there)) + (there < length ? `\nno memory from ${hex(at + BigInt(there))} on` : ''),
        )
      },
      { isReadOnly: true },
    ),
    machineTool(
      'go_to',
      'Shows a recorded machine at an instruction, by its number from power-on: back into its past, or on, where it runs until there. Without a number it is shown where it is. registers, memory and who_wrote are of what is shown; calls that run the machine go back to where it is first.',
      { instruction: z.union([z.int().min(0), z.literal('now')]).optional() },
      async (machine, { instruction = 'now' }, call) => {
        const stop = await machine.travel(call, (debug) =>
          debug.goto(instruction === 'now' ? machine.instructions : instruction, { signal: call.over }),
        )
        if (call.over.aborted) throw call.reason(`instruction ${instruction}`)
        return text(describe(machine) + describeStop(stop))
      },
    ),
    machineTool(
      'who_wrote',
      'Finds who wrote memory last before the instant that is shown, in a recorded machine: an instruction, a device by DMA, or nobody. go_to with the number it returns shows the machine before that instruction.',
      {
        address: addressArgument,
        length: z.int().min(1).max(MOST_BYTES).optional().describe('bytes; default 1'),
        physical: z.boolean().optional(),
        cpu: cpuArgument,
      },
      async (machine, { address, length = 1, physical = false, cpu = 0 }, call) => {
        const at = parse(address)
        const options = { length, physical, cpu, signal: call.over }
        const writer = await machine.travel(call, (debug) => debug.whoWrote(at, options))
        if (call.over.aborted) throw call.reason('the search')
        return text(describeWriter(writer), writtenBy(writer))
      },
      { isReadOnly: true },
    ),
  ]
}

const hex = (value: bigint): string => `0x${value.toString(16)}`

function checkCpu({ cpus }: MachineDebugger, cpu: number): void {
  if (cpu >= cpus) throw new ToolError('ERR_ARGUMENT', `cpu ${cpu}: expected 0 to ${cpus - 1}`)
}

/** @throws ToolError `ERR_ARGUMENT` for more than 64 bits */
function parse(address: string): bigint {
  const value = BigInt(address)
  if (value < 1n << 64n) return value
  throw new ToolError('ERR_ARGUMENT', `address ${address} has more than 64 bits`)
}

function physicalOf(address: bigint): number {
  if (address < 1n << 52n) return Number(address)
  throw new ToolError('ERR_ARGUMENT', `address ${hex(address)}: a guest-physical one has at most 52 bits`)
}

const LINE_BYTES = 16

/** Writes bytes in lines of 16, with their address and as characters. */
function dump(address: bigint, bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += LINE_BYTES) {
    const line = [...bytes.subarray(at, at + LINE_BYTES)]
    const digits = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const characters = line.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${hex(address + BigInt(at))}: ${digits.padEnd(3 * LINE_BYTES)} ${characters}`)
  }
  return lines.join('\n')
}

function describeStop(stop: ReplayStop): string {
  if (stop.reason === 'step') return ''
  const why = stop.reason === 'diverged' ? `: ${describeDivergence(stop)}` : ''
  return `\nIt has not come there (${stop.reason}${why}).`
}

function describeWriter(writer: LastWriter): string {
  switch (writer.by) {
    case 'instruction': {
      const what = writer.delivers ? 'the delivery of an event before the instruction' : 'the instruction'
      return `${what} at ${hex(writer.address)} of processor ${writer.cpu}; go_to ${writer.instructions} shows it before`
    }
    case 'device':
      return `device ${writer.device}, by DMA; go_to ${writer.instructions}`
    case 'machine':
      return `the machine itself; go_to ${writer.instructions}`
    case 'nobody':
      return 'nobody since power-on'
    default:
      return `the search has ended (${writer.exit.reason})`
  }
}

/** Describes the last writer for programs. */
function writtenBy(writer: LastWriter): Record<string, unknown> {
  if (writer.by === 'unknown') return { by: writer.by, reason: writer.exit.reason }
  return writer.by === 'instruction' ? { ...writer, address: hex(writer.address) } : { ...writer }
}
