import type { ClusterDescription } from './description.ts'
import type { Delivery } from './links.ts'
import type { ClusterEvent, ClusterResult } from './result.ts'
import { type ClockStretch, type ClusterRun, clusterTime, machineTime, type RunFrame } from './run.ts'

interface Start {
  readonly ns: number
  /** Infinity while the machine runs. */
  until: number
  readonly recording: string
  readonly offsets: ClockStretch[]
}

interface Sent extends RunFrame {
  /** The start of the machine that it is for. */
  readonly into: Start | undefined
}

/** Takes down a run as it goes on: see `ClusterOptions.log`. It is of one run, from the cluster's begin to its end. */
export class RunLog {
  readonly #events: ClusterEvent[] = []
  readonly #frames: Sent[] = []
  /** By the machines' numbers. */
  readonly #starts: Start[][] = []
  #faultsBegin: number | undefined

  /** @internal Something has happened. */
  event(event: ClusterEvent): void {
    this.#events.push(event)
  }

  /** @internal Faults begin. */
  faultsBegin(ns: number): void {
    this.#faultsBegin = ns
  }

  /** @internal A machine starts. @param machineNs - its clock */
  started(number: number, ns: number, machineNs: number, recording: string): void {
    ;(this.#starts[number] ??= []).push({
      ...{ ns, recording, until: Infinity },
      offsets: [{ ns: machineNs, offset: ns - machineNs }],
    })
  }

  /** @internal A machine goes on that has stood still. */
  goesOn(number: number, machineNs: number, offset: number): void {
    this.#running(number)?.offsets.push({ ns: machineNs, offset })
  }

  /** @internal A machine has ended. */
  ended(number: number, ns: number): void {
    const start = this.#running(number)
    if (start !== undefined) start.until = ns
  }

  /** @internal A frame was sent. */
  frame(from: number, sent: number, { to, ns, frame, causes }: Delivery): void {
    const into = this.#running(to)
    const isLost = ns === Infinity || into === undefined
    this.#frames.push({
      ...{ from, to, sent, into, bytes: frame, causes: into === undefined && causes.length === 0 ? ['off'] : causes },
      ...(!isLost && { arrives: ns }),
    })
  }

  /** The run, which has ended. */
  run(
    seed: number,
    branch: number,
    description: ClusterDescription,
    { failure, ns, faults }: ClusterResult,
  ): ClusterRun {
    const isRunning = ({ until }: Start): boolean => until === Infinity
    return {
      ...{ seed, branch, failure, ns, description, faults, events: this.#events, faultsBegin: this.#faultsBegin },
      machines: description.machines.map(({ name, number }) => ({
        ...{ name, number },
        starts: (this.#starts[number] ?? []).map((start) => ({ ...start, until: isRunning(start) ? ns : start.until })),
      })),
      frames: this.#frames.map(({ into, arrives, ...frame }): RunFrame => {
        if (into === undefined || arrives === undefined) return frame
        // A frame for a machine that stands still waits for it.
        const entered = clusterTime(into, machineTime(into, arrives))
        return entered <= into.until ? { ...frame, arrives: entered } : { ...frame, causes: [...frame.causes, 'off'] }
      }),
    }
  }

  #running(number: number): Start | undefined {
    const last = this.#starts[number]?.at(-1)
    return last?.until === Infinity ? last : undefined
  }
}
