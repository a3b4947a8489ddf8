import { plainLine } from '@retrap/basics'
import type { LinuxField, LinuxGuest } from './linux-guest.ts'

/** Most tasks of a list: a guest may have made it a circle. */
const MOST_TASKS = 1 << 16
/** States, by their bits in the order of the kernel's own letters. Source: proc_pid_stat(5). */
const STATES = 'SDTtXZPI'
const RUNNING = 'R'
/** An idle kernel thread is asleep so that no load is counted: TASK_UNINTERRUPTIBLE with TASK_NOLOAD. */
const [UNINTERRUPTIBLE, NO_LOAD] = [2, 0x400]
const [DEAD, ZOMBIE] = [16, 32]

/** A process, or a kernel thread. */
export interface LinuxTask {
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
export class LinuxTasks {
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
      name: textOf(guest.read(address + BigInt(name.offset), name.bytes)),
      state: stateOf(number(state), number(exit)),
      isKernel: guest.readField(address, mm) === 0n,
      address,
    }
  }
}

const decoder = new TextDecoder()

/** A name up to its zero, for a terminal. */
function textOf(bytes: Uint8Array): string {
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
