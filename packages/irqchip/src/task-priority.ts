import { PPR, TPR } from './apic-layout.ts'

/**
 * A guest's own copy of its task priority, in its memory. The guest changes it without an exit, and finds there whether
 * the change makes a difference. See `LocalApic.useRecord`.
 */
export interface TaskPriorityRecord {
  /** Reads the task priority, 8 bits. */
  read(): number
  /** Writes the task priority, 8 bits. */
  write(taskPriority: number): void
  /**
   * Publishes the values that the guest compares a new task priority with.
   *
   * @param inService - bits 7:4 of the highest vector in service; 0: none
   * @param pending - the highest vector that is pending; 0: none
   */
  publish(inService: number, pending: number): void
}

/**
 * The task-priority register, which follows the guest's record where it has one, and the processor priority.
 *
 * Source: Intel SDM vol. 3A, "Task and Processor Priorities".
 */
export class TaskPriority {
  record: TaskPriorityRecord | null = null
  readonly #words: Int32Array

  /** @param words - the local APIC's state */
  constructor(words: Int32Array) {
    this.#words = words
  }

  get value(): number {
    if (this.record !== null) this.#words[TPR] = this.record.read()
    return this.#words[TPR]!
  }
  set value(priority: number) {
    this.#words[TPR] = priority
    this.record?.write(priority)
  }

  /** Moves the priority into a record, or back into the register. */
  moveTo(record: TaskPriorityRecord | null): void {
    const priority = this.value
    this.record = record
    this.value = priority
  }

  /**
   * Computes the processor priority, and notes it in its register.
   *
   * @param inService - the highest vector in service, or −1
   */
  processorPriority(inService: number): number {
    const task = this.value
    const priority = inService < 0 || task >>> 4 >= inService >>> 4 ? task : inService & 0xf0
    this.#words[PPR] = priority
    return priority
  }
}
