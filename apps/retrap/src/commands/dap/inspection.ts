import { basename } from 'node:path'
import type { RegisterList, ShownRegister } from '@retrap/gdb'
import type { DebugProtocol } from '@vscode/debugprotocol'
import { usage } from '../../options/values.ts'
import { listAround } from './disassembly.ts'
import type { MachineDebug } from './machine-debug.ts'
import type { ProgramNames } from './program-names.ts'
import { memoryOf } from './stepping.ts'

/** Frames of a vCPU have the numbers from a multiple of this on. */
const FRAMES = 1000
const MOST_BYTES = 1 << 20
const MOST_INSTRUCTIONS = 4096
const MOST_TEXT = 1 << 16
/** Bytes of a watchpoint without a given size. */
const WATCHED_BYTES = 8

/** Scopes that group the registers by purpose. */
const SCOPES: readonly { readonly name: string; readonly list: RegisterList }[] = [
  { name: 'Registers', list: 'general' },
  { name: 'System registers', list: 'system' },
  { name: 'Floating point and vectors', list: 'vector' },
]

const hex = (value: bigint): string => `0x${value.toString(16)}`

/** A value that a request asks for. */
interface Value {
  readonly value: bigint
  readonly text: string
}

/** Shows the state of a machine that stands still. */
export class Inspection {
  readonly #machine: MachineDebug
  readonly #names: ProgramNames

  constructor(machine: MachineDebug, names: ProgramNames) {
    this.#machine = machine
    this.#names = names
  }

  /** The vCPU of a thread. @throws CliError `ERR_USAGE` for an unknown number */
  cpuOf(thread: number): number {
    const cpu = thread - 1
    if (cpu >= 0 && cpu < this.#machine.target.cpus) return cpu
    throw usage(`thread ${thread}: expected 1 to ${this.#machine.target.cpus}`)
  }

  threads(): DebugProtocol.ThreadsResponse['body'] {
    const { target } = this.#machine
    const threads = Array.from({ length: target.cpus }, (_, cpu) => ({ id: cpu + 1, name: target.describeCpu(cpu) }))
    return { threads }
  }

  stackTrace(args: DebugProtocol.StackTraceArguments): DebugProtocol.StackTraceResponse['body'] {
    const cpu = this.cpuOf(args.threadId)
    const { address, callers } = this.#machine.code(cpu)
    // A return address is behind its call, which may be the last instruction of a line.
    const all = [{ address, within: address }, ...callers.map((at) => ({ address: at, within: at - 1n }))]
    const { startFrame = 0, levels = 0 } = args
    const frames = all.map(({ address: at, within }, i) => this.#frame(cpu * FRAMES + i, at, within))
    return {
      stackFrames: frames.slice(startFrame, levels > 0 ? startFrame + levels : undefined),
      totalFrames: all.length,
    }
  }

  #frame(id: number, address: bigint, within: bigint): DebugProtocol.StackFrame {
    const line = this.#names.lineOf(within)
    return {
      id,
      name: this.#names.nameOf(address) ?? hex(address),
      line: line?.line ?? 0,
      column: line?.column ?? 0,
      ...(line !== undefined && { source: { name: basename(line.file), path: line.file } }),
      instructionPointerReference: hex(address),
    }
  }

  /** Register scopes exist only for the innermost frame: outer frames' registers have changed since. */
  scopes({ frameId }: DebugProtocol.ScopesArguments): DebugProtocol.ScopesResponse['body'] {
    if (frameId % FRAMES !== 0) return { scopes: [] }
    const cpu = this.cpuOf(frameId / FRAMES + 1)
    const scopes = SCOPES.map(({ name }, i) => ({
      name,
      variablesReference: cpu * SCOPES.length + i + 1,
      expensive: i > 0,
      ...(i === 0 && { presentationHint: 'registers' }),
    }))
    return { scopes }
  }

  variables({ variablesReference }: DebugProtocol.VariablesArguments): DebugProtocol.VariablesResponse['body'] {
    const { target } = this.#machine
    const cpu = this.cpuOf(Math.floor((variablesReference - 1) / SCOPES.length) + 1)
    const scope = SCOPES[(variablesReference - 1) % SCOPES.length]
    const variables = target.registers
      .shown((name) => target.readRegister(cpu, name), scope?.list)
      .map(({ name, bits, value }: ShownRegister): DebugProtocol.Variable => {
        const isPointer = value !== undefined && bits === 64
        const place = isPointer ? this.#names.nameOf(value) : undefined
        const text = value === undefined ? 'not known' : hex(value)
        return {
          name,
          value: place === undefined ? text : `${text} <${place}>`,
          variablesReference: 0,
          ...(isPointer && { memoryReference: hex(value) }),
        }
      })
    return { variables }
  }

  readMemory(args: DebugProtocol.ReadMemoryArguments, cpu: number): DebugProtocol.ReadMemoryResponse['body'] {
    const { memoryReference, offset = 0, count } = args
    if (!(count >= 0 && count <= MOST_BYTES)) throw usage(`${count} bytes; expected up to ${MOST_BYTES}`)
    const address = this.#place(memoryReference, offset)
    const bytes = new Uint8Array(count)
    const there = this.#machine.target.readMemory(cpu, address, bytes)
    return {
      address: hex(address),
      data: Buffer.from(bytes.subarray(0, there)).toString('base64'),
      ...(there < count && { unreadableBytes: count - there }),
    }
  }

  disassemble(args: DebugProtocol.DisassembleArguments, cpu: number): DebugProtocol.DisassembleResponse['body'] {
    const { memoryReference, offset = 0, instructionOffset = 0, instructionCount } = args
    if (
      !(
        instructionCount >= 0 &&
        instructionCount <= MOST_INSTRUCTIONS &&
        Math.abs(instructionOffset) <= MOST_INSTRUCTIONS
      )
    )
      throw usage(`${instructionCount} instructions; expected up to ${MOST_INSTRUCTIONS}`)
    const memory = memoryOf(this.#machine, this.#names, cpu)
    const listed = listAround(memory, this.#place(memoryReference, offset), instructionOffset, instructionCount)
    let last = ''
    const instructions = listed.map(({ address, bytes, text }): DebugProtocol.DisassembledInstruction => {
      const name = this.#names.nameOf(address)
      const line = this.#names.lineOf(address)
      const place = line && `${line.file}:${line.line}`
      const isNew = line !== undefined && place !== last
      last = place ?? last
      return {
        address: hex(address),
        instruction: text ?? '??',
        instructionBytes: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' '),
        ...(name !== undefined && !name.includes('+') && { symbol: name }),
        ...(isNew && { location: { name: basename(line.file), path: line.file }, line: line.line }),
        ...(text === undefined && { presentationHint: 'invalid' as const }),
      }
    })
    return { instructions }
  }

  /** Answers `$rax`, a name or an address. @throws CliError `ERR_USAGE` for anything else */
  evaluate(expression: string, cpu: number): DebugProtocol.EvaluateResponse['body'] {
    const found = this.#value(expression, cpu)
    if (found === undefined) throw usage(`nothing is known of '${expression.slice(0, 40)}'`)
    return { result: found.text, variablesReference: 0, memoryReference: hex(BigInt.asUintN(64, found.value)) }
  }

  /** Answers a line of the console: a command of gdb's `monitor` too. */
  async command(expression: string, cpu: number): Promise<DebugProtocol.EvaluateResponse['body']> {
    const isCommand = /^\s*monitor\s/.test(expression)
    if (!isCommand && this.#value(expression, cpu) !== undefined) return this.evaluate(expression, cpu)
    const command = expression.trim().replace(/^monitor\s+/, '')
    const result = await this.#machine.monitor(cpu, command.slice(0, MOST_TEXT))
    return { result: result.trimEnd(), variablesReference: 0 }
  }

  /** Returns the address and size that a watchpoint would have. */
  dataBreakpointInfo(
    args: DebugProtocol.DataBreakpointInfoArguments,
    cpu: number,
  ): DebugProtocol.DataBreakpointInfoResponse['body'] {
    const found = this.#value(args.name, cpu)
    if (found === undefined)
      return { dataId: null, description: `${args.name}: write an address, the name of data, or $ and a register` }
    const bytes = args.bytes ?? WATCHED_BYTES
    return {
      dataId: `${hex(found.value)}/${bytes}`,
      description: `${bytes} bytes at ${found.text}`,
      accessTypes: ['read', 'write', 'readWrite'],
    }
  }

  /** A register, a number or a name. */
  #value(expression: string, cpu: number): Value | undefined {
    const word = expression.trim()
    const { target } = this.#machine
    if (word.startsWith('$')) {
      const name = word.slice(1) === 'pc' ? target.registers.programCounter : word.slice(1)
      if (target.registers.numberOf(name) < 0) throw usage(`there is no register ${name}`)
      const value = target.readRegister(cpu, name) ?? 0n
      return { value, text: this.#withName(value) }
    }
    if (/^(0x[\da-f]{1,16}|\d{1,18})$/i.test(word)) return { value: BigInt(word), text: this.#withName(BigInt(word)) }
    const value = this.#names.addressOf(word)
    return value === undefined ? undefined : { value, text: this.#withName(value) }
  }

  #withName(value: bigint): string {
    const name = this.#names.nameOf(BigInt.asUintN(64, value))
    return name === undefined ? hex(value) : `${hex(value)} <${name}>`
  }

  /** @throws CliError `ERR_USAGE` for an unknown reference */
  #place(reference: string, offset: number): bigint {
    if (!/^(0x[\da-f]{1,16}|\d{1,20})$/i.test(reference) || !Number.isSafeInteger(offset))
      throw usage(`'${reference.slice(0, 40)}' is no address`)
    return BigInt.asUintN(64, BigInt(reference) + BigInt(offset))
  }
}
