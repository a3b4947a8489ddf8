// Searches a recorded run for the writer of a register and the printer of a text: the run is repeated from an instant before. Loaded when
// somebody asks.
import { extract, findA64 } from '@retrap/arm-decoder'
import type { MachineDebugger, MachinePlace, ReplayStop } from '@retrap/machine'
import { decode, usedResources } from '@retrap/x86-decoder'
import type { PrintedPlace, RegisterPlace, RunMark } from '../debugger.ts'
import { WebError } from '../errors.ts'
import type { TravellingDebugger } from './boards.ts'

/** Instructions stepped through at first to find a register's writer, the growth factor, and the limit. */
const [FIRST_STEPS, MORE, MOST_STEPS] = [64, 8, 1 << 16]
/** Calls and accesses that are looked at for a text, and bytes of each. */
const [MOST_PRINTED, MOST_BYTES] = [8192, 4096]
const LONGEST_INSTRUCTION = 15
/** Instructions before a byte was sent in which its function is searched for, at first and at most. */
const [FIRST_BEFORE, MOST_BEFORE] = [1 << 12, 1 << 24]
/** The part of a board by which the writer of a printed text is found. */
interface Printing {
  /** The serial port's register for characters to send. */
  readonly sends: MachinePlace
  /** Linux functions that take the characters for a serial port. */
  readonly printers: readonly string[]
  /** Registers of a function's second and third argument. */
  readonly given: readonly [string, string]
}

/** By the port's access: COM1 of a PC, or the PL011 of an Arm board. */
const PRINTING: Readonly<Record<'port' | 'mmio', Printing>> = {
  port: {
    sends: { kind: 'port', address: 0x3f8, count: 1, access: 'write' },
    printers: ['uart_write', 'uart_put_char', 'univ8250_console_write'],
    given: ['rsi', 'rdx'],
  },
  mmio: {
    sends: { kind: 'mmio', address: 0x900_0000, count: 1, access: 'write' },
    printers: ['uart_write', 'uart_put_char', 'pl011_console_write'],
    given: ['x1', 'x2'],
  },
}

const printingOf = ({ registers }: MachineDebugger): Printing =>
  PRINTING[registers.programCounter === 'pc' ? 'mmio' : 'port']

/** Lowest value of an argument that counts as a pointer: smaller values are characters. */
const CHARACTERS = 256n

/** The instruction that has written a place, and executes next at `instruction`. */
export interface FoundWriter {
  readonly instruction: number
  readonly cpu: number
  readonly address: bigint
}

/** The names that parts of a register have. */
function partsOf(register: string): ReadonlySet<string> {
  const [, letter] = /^r([abcd])x$/.exec(register) ?? []
  if (letter !== undefined) return new Set([register, `e${letter}x`, `${letter}x`, `${letter}l`, `${letter}h`])
  const [, pair] = /^r([sbdi][pi])$/.exec(register) ?? []
  if (pair !== undefined) return new Set([register, `e${pair}`, pair, `${pair}l`])
  return new Set(['', 'd', 'w', 'b'].map((size) => `${register}${size}`))
}

/** Finds the instruction that wrote a register last. Leaves the debugger anywhere. @returns null: no recent one wrote it */
export async function registerWriter(
  debug: TravellingDebugger,
  begin: number,
  { register, cpu = 0 }: RegisterPlace,
  signal: AbortSignal,
): Promise<FoundWriter | null> {
  for (let [end, length] = [debug.instructions, FIRST_STEPS]; end > begin && length <= MOST_STEPS; length *= MORE) {
    const from = Math.max(begin, end - length)
    await debug.goto(from, { signal })
    let found: FoundWriter | null = null
    while (debug.instructions < end && !signal.aborted) {
      const { instructions: instruction } = debug
      const tool = await debug.pc.debugger()
      const retired = retiredOf(debug, cpu)
      const before = tool.register(register, cpu)
      const { address, set } = tool.code(cpu)
      const bytes = new Uint8Array(LONGEST_INSTRUCTION)
      const code = bytes.subarray(0, tool.read(address, bytes, cpu))
      await debug.step({ signal })
      if (debug.instructions === instruction) break
      if (retiredOf(debug, cpu) === retired) continue
      // The delivery of an interrupt writes a register as well.
      const isOther = (await debug.pc.debugger()).register(register, cpu) !== before
      if (isOther || writes({ code, set, address }, register)) found = { instruction, cpu, address }
    }
    if (found !== null || signal.aborted) return found
    end = from
  }
  return null
}

function retiredOf({ pc: { domain } }: TravellingDebugger, cpu: number): number {
  const vcpu = domain.vcpus[cpu]
  if (vcpu === undefined) throw new WebError('ERR_OPTION', `vCPU ${cpu}: expected 0 to ${domain.vcpus.length - 1}`)
  return vcpu.cpu.retired
}

/** An instruction, as {@link MachineDebugger.code} has it, with its bytes. */
interface Instruction extends Pick<ReturnType<MachineDebugger['code']>, 'address' | 'set'> {
  readonly code: Uint8Array
}

/** Whether an instruction writes a register, with the value that it had too. Of AArch32 code changes of the value say so. */
function writes({ code, set, address }: Instruction, register: string): boolean {
  if (set === 'a64')
    return code.length >= 4 && writesA64(new DataView(code.slice().buffer).getUint32(0, true), register)
  if (set === 'a32' || set === 'thumb') return false
  const insn = decode(code, { mode: MODES[set], address })
  if (insn.status !== 'decoded') return false
  const parts = partsOf(register)
  return usedResources(insn.instruction).registers.some(({ name, access }) => access.includes('w') && parts.has(name))
}

const MODES = { 'x86-16': 16, 'x86-32': 32, 'x86-64': 64 } as const

function writesA64(word: number, register: string): boolean {
  const form = findA64(word)
  if (form === undefined) return false
  if (/^BLR?/.test(form.mnemonic)) return register === 'x30'
  // `t` and `u` are registers that are transferred, `d` the destination.
  const destinations = /^(LD|MRS)/.test(form.mnemonic) ? 'dtu' : 'd'
  return [...form.operands.matchAll(/<[RWX]([dtu])>/g)].some(([, letter = '']) => {
    const field = form.fields.get(letter)
    return destinations.includes(letter) && field !== undefined && register === `x${extract(field, word)}`
  })
}

/** The place in a run at which a guest has printed a text. */
interface Print extends FoundWriter {
  readonly text: string
}

const decoder = new TextDecoder('latin1')

/** Finds the last time that a text was printed. @returns the print of its first byte; undefined: the text was not printed */
function printOf(prints: readonly Print[], printed: string): Print | undefined {
  let left = prints
    .map(({ text }) => text)
    .join('')
    .lastIndexOf(printed)
  return left < 0 ? undefined : prints.find(({ text }) => (left -= text.length) < 0)
}

/**
 * Finds who printed a text last: the call in Linux that was given it for a serial port, or else the instruction that has sent its first
 * byte. Leaves the debugger anywhere.
 *
 * @param marks - lines that the guest has printed, with the instants at which they had been sent
 * @param addressOf - finds the address of a symbol
 */
export async function printer(
  debug: TravellingDebugger,
  begin: number,
  { printed, line, later = 0 }: PrintedPlace,
  marks: readonly RunMark[],
  addressOf: (name: string) => bigint | null,
  signal: AbortSignal,
): Promise<FoundWriter | null> {
  const here = debug.instructions
  const lines = marks.filter(({ kind, instruction }) => kind === 'serial' && instruction <= here)
  const same = lines.filter(({ text }) => (line === undefined ? text.includes(printed) : text === line.trim()))
  const to = same.at(-1 - later)?.instruction ?? here
  const before = lines.flatMap(({ instruction }) => (instruction < to ? [instruction] : []))
  const { sends, printers } = printingOf(await debug.pc.debugger())
  let sent: Print | undefined
  // Search from the previous line on; if it is not found, from an earlier one.
  for (let [back, from] = [1, to]; sent === undefined && from > begin && !signal.aborted; back *= 4) {
    from = Math.max(begin, before.at(-back) ?? begin)
    sent = printOf(await printsOf(debug, from, to, [debug.stopAt(sends)], signal), printed)
  }
  const given = printers.flatMap((name) => addressOf(name) ?? [])
  if (sent === undefined || given.length === 0) return sent ?? null
  for (let length = FIRST_BEFORE; length <= MOST_BEFORE && !signal.aborted; length *= MORE) {
    const from = Math.max(begin, sent.instruction - length)
    const stops = given.map((address) => debug.breakpoint(address))
    const call = printOf(await printsOf(debug, from, sent.instruction, stops, signal), printed)
    if (call !== undefined || from === begin) return call ?? sent
  }
  return sent
}

/** All that was printed in a piece of a run. @param stops - at functions of {@link Printing}, or at the port; they are removed */
async function printsOf(
  debug: TravellingDebugger,
  from: number,
  to: number,
  stops: readonly { remove(): void }[],
  signal: AbortSignal,
): Promise<readonly Print[]> {
  const prints: Print[] = []
  try {
    await debug.goto(from, { signal })
    while (debug.instructions < to && prints.length < MOST_PRINTED) {
      const stop: ReplayStop = await debug.continue({ to, signal })
      const { instructions } = debug
      if (stop.reason === 'breakpoint') {
        const { cpu, address } = stop
        const text = givenText(await debug.pc.debugger(), cpu)
        prints.push({ instruction: instructions, cpu, address, text })
      } else if (stop.reason === 'port' || stop.reason === 'mmio') {
        const { cpu, value } = stop
        const text = value === undefined ? '' : String.fromCharCode(Number(value & 0xffn))
        // The instruction that sends it has retired.
        prints.push({ instruction: instructions - 1, cpu, address: 0n, text })
      } else break
    }
    return prints
  } finally {
    for (const stop of stops) stop.remove()
  }
}

/** The text that a function is given: its second argument is a buffer and the third its length, or the second is a character. */
function givenText(tool: MachineDebugger, cpu: number): string {
  const [text, length] = printingOf(tool).given
  const argument = tool.register(text, cpu)
  if (argument < CHARACTERS) return String.fromCharCode(Number(argument))
  const bytes = new Uint8Array(Math.min(MOST_BYTES, Number(BigInt.asUintN(32, tool.register(length, cpu)))))
  return decoder.decode(bytes.subarray(0, tool.read(argument, bytes, cpu)))
}
