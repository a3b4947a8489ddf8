import { printable } from '@retrap/basics'
import type { MachineExit, CrashDetail } from '@retrap/machine'
import { ExitCode } from '../../exit-codes.ts'
import type { SessionHost, Disassemble } from './session-host.ts'

/** Why a session ends, if not by its machine's exit. */
export interface Ending {
  readonly code: number
  /** A line for stderr. */
  readonly message?: string
}

/** Settings of the session that the lines about its end need. */
interface EndText {
  readonly timeoutMs: number | undefined
  readonly disassemble: SessionHost['disassemble']
}

/** Exits that registers are shown for, as people read them. */
const CRASHES: Readonly<Partial<Record<MachineExit['reason'], string>>> = {
  'triple-fault': 'triple fault',
  'guest-crash': 'guest crash',
  'out-of-memory': 'no memory',
  'device-failure': 'the device failed',
  'internal-error': 'internal error',
}

/**
 * The line for an exit code that isa-debug-exit cannot produce: any device model may request any code, and without
 * this line its request for 86 would look like a triple fault.
 */
function deviceExitLine(requested: number, exitCode: number): string {
  const bits = requested === exitCode ? '' : `, the low 8 bits of ${requested}`
  return `retrap: a device model ended the run with exit code ${exitCode}${bits}\n`
}

/** Exit codes of the process. */
const EXIT_CODES: Readonly<Record<Exclude<MachineExit['reason'], 'debug-exit'>, number>> = {
  'triple-fault': ExitCode.TripleFault,
  'guest-crash': ExitCode.GuestCrash,
  timeout: ExitCode.Timeout,
  'out-of-memory': ExitCode.InternalError,
  'device-failure': ExitCode.InternalError,
  'internal-error': ExitCode.InternalError,
  'power-off': ExitCode.PowerOff,
  suspend: ExitCode.PowerOff,
  stopped: ExitCode.PowerOff,
  reset: ExitCode.PowerOff,
}

/** The process's exit code for the end of a machine. */
export function exitCodeOf(exit: MachineExit): number {
  if (exit.reason !== 'debug-exit') return EXIT_CODES[exit.reason]
  // A process's status has eight bits.
  return (exit.code ?? ExitCode.debugExit(0)) & 0xff
}

/** Returns the lines for stderr on a run that ended by a message, a crash, a device or `--timeout`; none otherwise. */
export function linesOfEnd(exit: MachineExit, ending: Ending | undefined, text: EndText): string[] {
  const lines: string[] = []
  if (ending?.message !== undefined) lines.push(`retrap: ${ending.message}\n`)
  const title = CRASHES[exit.reason]
  if (title !== undefined) lines.push(...linesOfCrash(title, exit.detail, text.disassemble))
  const requested = exit.reason === 'debug-exit' ? (exit.code ?? 0) : 0
  if (requested !== 0 && requested % 2 === 0) lines.push(deviceExitLine(requested, ending?.code ?? exitCodeOf(exit)))
  if (exit.reason === 'timeout') lines.push(timeoutLine(text.timeoutMs ?? 0))
  return lines
}

/** Returns the line for stderr on the end of a run by `--timeout`. */
export const timeoutLine = (ms: number): string => `retrap: ended by --timeout after ${ms / 1000} s\n`

const COLUMNS = 4

/**
 * Formats the report of a crashed machine: the reason, registers, and current instruction.
 *
 * @returns lines that end with a line feed
 */
function linesOfCrash(title: string, detail: CrashDetail | undefined, disassemble: Disassemble): string[] {
  const where = detail?.vcpu === undefined ? '' : ` on vCPU ${detail.vcpu}`
  const lines = [`retrap: ${title}${where}${detail === undefined ? '' : `: ${printable(detail.message)}`}`]

  const cells = Object.entries(detail?.registers ?? {}).map(
    ([name, value]) => `${name.padEnd(7)}${BigInt.asUintN(64, value).toString(16).padStart(16, '0')}`,
  )
  for (let at = 0; at < cells.length; at += COLUMNS) lines.push(`  ${cells.slice(at, at + COLUMNS).join('  ')}`)

  const instruction = detail?.instruction
  if (instruction !== undefined) {
    const address = BigInt.asUintN(64, instruction.address).toString(16).padStart(16, '0')
    const none = instruction.bytes.length === 0
    const bytes = Array.from(instruction.bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`  ${address}  ${none ? 'no memory here' : disassemble(instruction)}`)
    if (!none) lines.push(`  ${' '.repeat(16)}  ${bytes}`)
  }
  return lines.map((line) => `${line}\n`)
}
