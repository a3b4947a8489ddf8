import { plainLine, printable, viewOf } from '@retrap/basics'
import { SymbolsError } from './errors.ts'
import type { LinuxMemory } from './guest-ram.ts'
import { linuxSymbols } from './kallsyms.ts'
import { type LinuxField, LinuxGuest } from './linux-guest.ts'
import { SymbolTable } from './symbol-table.ts'

/** The first byte of Linux' code has this name: on arm64 the first one that is in its table. */
const FIRST = '_stext'

/**
 * Where the code of x86 kernels is linked to begin: 16 MiB above the start of their part of the address space, which is the
 * default of CONFIG_PHYSICAL_START, and Debian's (Linux, Documentation/arch/x86/x86_64/mm.rst, "kernel text mapping").
 */
const LINKED = [
  { from: 0xffff_ffff_8000_0000n, to: 1n << 64n, at: 0xffff_ffff_8100_0000n },
  { from: 0xc000_0000n, to: 1n << 32n, at: 0xc100_0000n },
]

const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`)

/** A command of gdb's `monitor`, as `gdbTarget` of `@retrap/machine` takes it. */
interface LinuxCommand {
  /** The command's name, then the words that may follow. */
  readonly usage: string
  /** The command's effect. */
  readonly help: string
  /** Does the command for a vCPU. @param given - the words after its name @returns the text to print, in whole lines */
  run(cpu: number, given: readonly string[]): string
}

/**
 * `monitor kaslr`: distance of Linux from its link address, by its own symbol table.
 *
 * @param machine - returns the current machine
 * @returns a command for `gdbTarget`
 */
export function kaslrCommand(machine: () => LinuxMemory): LinuxCommand {
  return {
    usage: 'kaslr',
    help: 'where Linux lies, and how gdb gets its symbols there',
    run: () => describePlace(linuxSymbols(machine()).find(({ name }) => name === FIRST)?.address),
  }
}

function describePlace(text: bigint | undefined): string {
  if (text === undefined) return 'There is no Linux in memory that has its table of symbols (CONFIG_KALLSYMS).\n'
  const linked = LINKED.find(({ from, to }) => text >= from && text < to)
  if (linked === undefined) {
    // An arm64 kernel's link address depends on its version and settings: gdb finds it in the file.
    return `${FIRST} is at ${hex(text)}: file vmlinux, then symbol-file -o ${hex(text)}-(long)&${FIRST} vmlinux\n`
  }
  const offset = hex(text - linked.at)
  return `${FIRST} is at ${hex(text)}, ${offset} from where it was linked: symbol-file -o ${offset} vmlinux\n`
}

/** Returns the known Linux if the present machine still runs it; otherwise searches again. */
const renewed = (known: LinuxGuest | undefined, machine: LinuxMemory): LinuxGuest =>
  known?.renew(machine) === true ? known : new LinuxGuest(machine)

/**
 * Commands of gdb's `monitor` about Linux in a machine, from its present memory: `kaslr`, `ps`, `task`, `dmesg`.
 *
 * @param machine - returns the current machine
 * @returns commands for `gdbTarget`
 */
export function linuxCommands(machine: () => LinuxMemory): readonly LinuxCommand[] {
  let known: LinuxGuest | undefined
  const guest = (): LinuxGuest => (known = renewed(known, machine()))
  const command = (
    usage: string,
    help: string,
    run: (cpu: number, given: readonly string[]) => string,
  ): LinuxCommand => ({
    usage,
    help,
    run(cpu, given) {
      try {
        return run(cpu, given)
      } catch (error) {
        if (error instanceof SymbolsError) return `${error.message}\n`
        throw error
      }
    },
  })
  return [
    kaslrCommand(machine),
    command('ps', 'processes and kernel threads of Linux', () => listing(new LinuxTasks(guest()).all())),
    command('task', 'the task of Linux that this vCPU executes', (cpu) =>
      listing([new LinuxTasks(guest()).current(cpu)]),
    ),
    command('dmesg [LINES]', "Linux' log; its last lines", (_cpu, [last]) => {
      if (last !== undefined && !/^\d{1,9}$/.test(last)) return `dmesg: '${last.slice(0, 40)}' is no number of lines\n`
      const lines = linuxLog(guest()).map((line) => `${formatLogLine(line)}\n`)
      return (last === undefined ? lines : lines.slice(Math.max(0, lines.length - Number(last)))).join('')
    }),
  ]
}

/** Names of addresses and addresses of names, by the table that Linux in a machine's memory has of itself. */
export class LinuxNames {
  readonly #machine: () => LinuxMemory
  #table: SymbolTable | undefined
  #guest: LinuxGuest | undefined

  /** @param machine - returns the current machine at each look-up */
  constructor(machine: () => LinuxMemory) {
    this.#machine = machine
  }

  /** Returns the address of a symbol; undefined if unknown. */
  readonly addressOf = (name: string): bigint | undefined => this.#known()?.addressOf(name)

  /** Returns `name` or `name+0x10`; undefined if unknown. */
  readonly nameOf = (address: bigint): string | undefined => this.#known()?.nameOf(address)

  /**
   * The function at an address, and the task that a processor executes, as far as known: `name+0x10, pid 122 sh`.
   *
   * @param name - the function, if it is known. Default by Linux' own table
   */
  readonly whoseCode = (
    address: bigint,
    cpu: number,
    name: string | undefined = this.nameOf(address),
  ): string | undefined => {
    const task = this.taskOf(cpu)
    return [name ?? [], task === null ? [] : `pid ${task.pid} ${task.name}`].flat().join(', ') || undefined
  }

  /** The task that a processor executes; null where no Linux is found that says so. */
  taskOf(cpu: number): LinuxTask | null {
    try {
      return new LinuxTasks((this.#guest = renewed(this.#guest, this.#machine()))).current(cpu)
    } catch (error) {
      if (error instanceof SymbolsError) return null
      throw error
    }
  }

  /** The kernel may not have been loaded yet. */
  #known(): SymbolTable | undefined {
    if (this.#table !== undefined) return this.#table
    const symbols = linuxSymbols(this.#machine())
    return symbols.length === 0 ? undefined : (this.#table = new SymbolTable(symbols, 0n))
  }
}

function listing(tasks: readonly LinuxTask[]): string {
  const rows = tasks.map(
    ({ pid, tid, parent, state, name, isKernel, address }) =>
      [pid, tid, parent].map((number) => String(number).padStart(7)).join('') +
      ` ${state} 0x${address.toString(16)} ${isKernel ? `[${name}]` : name}\n`,
  )
  return `    PID    TID   PPID S ${'task_struct'.padEnd(18)} NAME\n${rows.join('')}`
}

/** State of a readable record; records in other states are being written or reused. */
const FINALIZED = 2n
const ID_MASK = (1n << 62n) - 1n
const MOST_BITS = 26
/** A record without a text has a place that no text has. */
const NO_TEXT = 1n
const NS = 1_000_000_000n

/** A line of the kernel's log. */
interface LinuxLogLine {
  /** Nanoseconds since the kernel began. */
  readonly ns: bigint
  /** 0 is an emergency, 7 is for debugging. */
  readonly level: number
  readonly text: string
}

/**
 * Reads the kernel's log from its ring, as Linux has it since 5.10 (Linux, kernel/printk/printk_ringbuffer.h, is where the
 * structures are described).
 *
 * @throws SymbolsError
 */
function linuxLog(guest: LinuxGuest): LinuxLogLine[] {
  const pointer = guest.symbols.addressOf('prb')
  if (pointer === undefined)
    throw new SymbolsError('ERR_UNSUPPORTED', 'this Linux cannot be read', 'it has no log as Linux 5.10 and later have')
  const ring = guest.readNumber(pointer, 8)
  const number = (path: string): bigint => guest.readField(ring, guest.field('printk_ringbuffer', path))
  const countBits = Number(number('desc_ring.count_bits'))
  const sizeBits = Number(number('text_data_ring.size_bits'))
  if (countBits > MOST_BITS || sizeBits > MOST_BITS)
    throw new SymbolsError(
      'ERR_DAMAGED',
      'the log of this Linux is damaged',
      `${countBits} and ${sizeBits} bits of room`,
    )
  const count = 2 ** countBits
  const size = 1n << BigInt(sizeBits)
  const descBytes = sizeOf(guest, 'prb_desc')
  const infoBytes = sizeOf(guest, 'printk_info')
  const descs = viewOf(guest.read(number('desc_ring.descs'), count * descBytes))
  const infos = viewOf(guest.read(number('desc_ring.infos'), count * infoBytes))
  const data = guest.read(number('text_data_ring.data'), Number(size))
  const at = {
    state: guest.field('prb_desc', 'state_var').offset,
    begin: guest.field('prb_desc', 'text_blk_lpos.begin').offset,
    next: guest.field('prb_desc', 'text_blk_lpos.next').offset,
    ns: guest.field('printk_info', 'ts_nsec').offset,
    length: guest.field('printk_info', 'text_len').offset,
    // The lower five bits of the byte behind the facility are flags.
    level: guest.field('printk_info', 'facility').offset + 1,
  }
  const tail = number('desc_ring.tail_id') & ID_MASK
  const head = number('desc_ring.head_id') & ID_MASK
  const lines: LinuxLogLine[] = []
  for (let i = 0n; i < count; i++) {
    const id = (tail + i) & ID_MASK
    const index = Number(id & BigInt(count - 1))
    const desc = index * descBytes
    const state = descs.getBigUint64(desc + at.state, true)
    if ((state & ID_MASK) === id && state >> 62n === FINALIZED) {
      const info = index * infoBytes
      const begin = descs.getBigUint64(desc + at.begin, true)
      const next = descs.getBigUint64(desc + at.next, true)
      const text = textOf(data, size, begin, next, infos.getUint16(info + at.length, true))
      const [ns, level] = [infos.getBigUint64(info + at.ns, true), infos.getUint8(info + at.level) >> 5]
      if (text !== undefined) for (const line of text.split('\n')) lines.push({ ns, level, text: line })
    }
    if (id === head) break
  }
  return lines
}

/** Formats a line like dmesg(1). */
const formatLogLine = ({ ns, text }: LinuxLogLine): string =>
  `[${String(ns / NS).padStart(5)}.${String((ns % NS) / 1000n).padStart(6, '0')}] ${text}`

/** Returns the text of a record: after the record's number, or at the ring's beginning if it did not fit at the end. */
function textOf(data: Uint8Array, size: bigint, begin: bigint, next: bigint, length: number): string | undefined {
  if ((begin & NO_TEXT) !== 0n) return ''
  const isWrapped = begin / size !== next / size && next % size !== 0n
  const from = (isWrapped ? 0 : Number(begin % size)) + 8
  if (from + length > data.length) return undefined
  return printable(decoder.decode(data.subarray(from, from + length)))
}

const decoder = new TextDecoder()

function sizeOf(guest: LinuxGuest, struct: string): number {
  const bytes = guest.btf.size(struct)
  if (bytes === undefined || bytes === 0)
    throw new SymbolsError('ERR_MISSING', 'Linux in memory', `its types do not have struct ${struct}`)
  return bytes
}

/** Most tasks of a list: a guest may have made it a circle. */
const MOST_TASKS = 1 << 16
/** States, by their bits in the order of the kernel's own letters. Source: proc_pid_stat(5). */
const STATES = 'SDTtXZPI'
const RUNNING = 'R'
/** An idle kernel thread is asleep so that no load is counted: TASK_UNINTERRUPTIBLE with TASK_NOLOAD. */
const [UNINTERRUPTIBLE, NO_LOAD] = [2, 0x400]
const [DEAD, ZOMBIE] = [16, 32]

/** A process, or a kernel thread. */
interface LinuxTask {
  /** Number of the process. */
  readonly pid: number
  /** Number of the thread. */
  readonly tid: number
  /** Number of the parent process. */
  readonly parent: number
  /** Name, of up to 15 bytes. */
  readonly name: string
  /** State letter of ps(1): R, S, D, Z and others. */
  readonly state: string
  /** Whether the task has no user memory. */
  readonly isKernel: boolean
  /** Linear address of the `struct task_struct`. */
  readonly address: bigint
}

/** Reads the tasks of one kernel. */
class LinuxTasks {
  readonly #guest: LinuxGuest
  readonly #fields: Readonly<Record<'pid' | 'tgid' | 'name' | 'state' | 'exit' | 'parent' | 'mm' | 'list', LinuxField>>

  /** @throws SymbolsError `ERR_MISSING` for a kernel without type information */
  constructor(guest: LinuxGuest) {
    this.#guest = guest
    const field = (path: string): LinuxField => guest.field('task_struct', path)
    this.#fields = {
      pid: field('pid'),
      tgid: field('tgid'),
      name: field('comm'),
      // Underscores since Linux 5.14.
      state: guest.btf.member('task_struct', '__state') ?? field('state'),
      exit: field('exit_state'),
      parent: field('real_parent'),
      mm: field('mm'),
      list: field('tasks'),
    }
  }

  /** The processes and kernel threads, in the order of the kernel's list. @throws SymbolsError */
  all(): LinuxTask[] {
    const { list } = this.#fields
    const head = this.#guest.addressOf('init_task') + BigInt(list.offset)
    const found: LinuxTask[] = []
    const seen = new Set<bigint>([head])
    let next = this.#guest.readNumber(head, 8)
    for (; !seen.has(next) && found.length < MOST_TASKS; next = this.#guest.readNumber(next, 8)) {
      seen.add(next)
      found.push(this.#read(next - BigInt(list.offset)))
    }
    return found
  }

  /** The task that a processor executes, by the kernel's number of the processor. @throws SymbolsError */
  current(cpu: number): LinuxTask {
    const guest = this.#guest
    const area = guest.readNumber(guest.addressOf('__per_cpu_offset') + BigInt(8 * cpu), 8)
    const { symbols } = guest
    // Linux 6.2 to 6.14 keep the field in a structure of frequently used data.
    const hot = symbols.addressOf('pcpu_hot')
    const place =
      hot === undefined ? guest.addressOf('current_task') : hot + BigInt(guest.field('pcpu_hot', 'current_task').offset)
    return this.#read(guest.readNumber(BigInt.asUintN(64, area + place), 8))
  }

  #read(address: bigint): LinuxTask {
    const guest = this.#guest
    const { pid, tgid, name, state, exit, parent, mm } = this.#fields
    const number = (field: LinuxField): number => Number(guest.readField(address, field))
    const of = guest.readField(address, parent)
    return {
      pid: number(tgid),
      tid: number(pid),
      parent: Number(guest.readField(of, tgid)),
      name: taskName(guest.read(address + BigInt(name.offset), name.bytes)),
      state: stateOf(number(state), number(exit)),
      isKernel: guest.readField(address, mm) === 0n,
      address,
    }
  }
}

/** A name up to its zero, for a terminal. */
function taskName(bytes: Uint8Array): string {
  const zero = bytes.indexOf(0)
  return plainLine(decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero)))
}

function stateOf(state: number, exit: number): string {
  if ((exit & ZOMBIE) !== 0) return 'Z'
  if ((exit & DEAD) !== 0) return 'X'
  if ((state & UNINTERRUPTIBLE) !== 0 && (state & NO_LOAD) !== 0) return 'I'
  const bit = Array.from(STATES).findIndex((_, i) => (state & (1 << i)) !== 0)
  return STATES[bit] ?? RUNNING
}
