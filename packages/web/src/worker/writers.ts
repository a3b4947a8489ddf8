// Searches a recorded run for the writer of a register and the printer of a text: the run is repeated from an instant before. Loaded when
// somebody asks.
import type { MachineDebugger, Pc, ReplayDebugger, ReplayStop } from '@retrap/machine'
import { decode, usedResources } from '@retrap/x86-decoder'
import { MODE_32, MODE_64 } from '@retrap/x86-cpu'
import type { PrintedPlace, RegisterPlace, RunMark } from '../debugger.ts'
import { WebError } from '../errors.ts'

/** Instructions stepped through at first to find a register's writer, the growth factor, and the limit. */
const [FIRST_STEPS, MORE, MOST_STEPS] = [64, 8, 1 << 16]
/** Calls and accesses that are looked at for a text, and bytes of each. */
const [MOST_PRINTED, MOST_BYTES] = [8192, 4096]
const LONGEST_INSTRUCTION = 15
/** Port of COM1's transmitter holding register. */
const SERIAL_PORT = 0x3f8

/** Instructions before a byte was sent in which its function is searched for, at first and at most. */
const [FIRST_BEFORE, MOST_BEFORE] = [1 << 12, 1 << 24]
/** Linux functions that take the characters for a serial port. */
const PRINTERS = ['uart_write', 'uart_put_char', 'univ8250_console_write']
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
  debug: ReplayDebugger,
  begin: number,
  { register, cpu = 0 }: RegisterPlace,
  signal: AbortSignal,
): Promise<FoundWriter | null> {
  const parts = partsOf(register)
  for (let [end, length] = [debug.instructions, FIRST_STEPS]; end > begin && length <= MOST_STEPS; length *= MORE) {
    const from = Math.max(begin, end - length)
    // oxlint-disable-next-line no-await-in-loop -- backwards, piece by piece
    await debug.goto(from, { signal })
    let found: FoundWriter | null = null
    while (debug.instructions < end && !signal.aborted) {
      const { instructions: instruction } = debug
      const vcpu = vcpuOf(debug.pc, cpu)
      const tool = await debug.pc.debugger()
      const [before, retired] = [tool.register(register, cpu), vcpu.cpu.retired]
      const address = tool.register('cs_base', cpu) + tool.register('rip', cpu)
      const bytes = new Uint8Array(LONGEST_INSTRUCTION)
      const code = bytes.subarray(0, tool.read(address, bytes, cpu))
      await debug.step({ signal })
      if (debug.instructions === instruction) break
      if (vcpuOf(debug.pc, cpu).cpu.retired === retired) continue
      // The delivery of an interrupt writes a register as well.
      const isOther = (await debug.pc.debugger()).register(register, cpu) !== before
      if (isOther || writes(code, widthOf(vcpu.cpu.registers.mode), address, parts))
        found = { instruction, cpu, address }
    }
    if (found !== null || signal.aborted) return found
    end = from
  }
  return null
}

const widthOf = (mode: number): 16 | 32 | 64 => (mode === MODE_64 ? 64 : mode === MODE_32 ? 32 : 16)

function vcpuOf(pc: Pc, cpu: number): Pc['domain']['vcpus'][number] {
  const vcpu = pc.domain.vcpus[cpu]
  if (vcpu === undefined) throw new WebError('ERR_OPTION', `vCPU ${cpu}: expected 0 to ${pc.domain.vcpus.length - 1}`)
  return vcpu
}

function writes(code: Uint8Array, mode: 16 | 32 | 64, address: bigint, parts: ReadonlySet<string>): boolean {
  const insn = decode(code, { mode, address })
  if (insn.status !== 'decoded') return false
  return usedResources(insn.instruction).registers.some(({ name, access }) => access.includes('w') && parts.has(name))
}

/** The place in a run at which a guest has printed something. */
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
  debug: ReplayDebugger,
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
  const port = { kind: 'port', address: SERIAL_PORT, count: 1, access: 'write' } as const
  let sent: Print | undefined
  // Search from the previous line on; if it is not found, from an earlier one.
  for (let [back, from] = [1, to]; sent === undefined && from > begin && !signal.aborted; back *= 4) {
    from = Math.max(begin, before.at(-back) ?? begin)
    // oxlint-disable-next-line no-await-in-loop -- backwards, piece by piece
    sent = printOf(await printsOf(debug, from, to, [debug.stopAt(port)], signal), printed)
  }
  const given = PRINTERS.flatMap((name) => addressOf(name) ?? [])
  if (sent === undefined || given.length === 0) return sent ?? null
  for (let length = FIRST_BEFORE; length <= MOST_BEFORE && !signal.aborted; length *= MORE) {
    const from = Math.max(begin, sent.instruction - length)
    const stops = given.map((address) => debug.breakpoint(address))
    const call = printOf(await printsOf(debug, from, sent.instruction, stops, signal), printed)
    if (call !== undefined || from === begin) return call ?? sent
  }
  return sent
}

/** All that was printed in a piece of a run. @param stops - at functions of {@link PRINTERS}, or at the port; they are removed */
async function printsOf(
  debug: ReplayDebugger,
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
      } else if (stop.reason === 'port') {
        const { cpu, value } = stop
        const text = value === undefined ? '' : String.fromCharCode(Number(value & 0xffn))
        // The instruction that writes the port has retired.
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
  const argument = tool.register('rsi', cpu)
  if (argument < CHARACTERS) return String.fromCharCode(Number(argument))
  const bytes = new Uint8Array(Math.min(MOST_BYTES, Number(BigInt.asUintN(32, tool.register('rdx', cpu)))))
  return decoder.decode(bytes.subarray(0, tool.read(argument, bytes, cpu)))
}
