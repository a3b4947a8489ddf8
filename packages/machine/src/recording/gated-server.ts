import {
  type DeviceHostState,
  type Frame,
  FrameReader,
  type GatedServer,
  NO_VCPU,
  type ServerGate,
} from '@retrap/device-hosting'
import type { GatedModels, InputGate } from './input-gate.ts'
import { HeldFrames, type PlugFacts, savedFrames } from './held-frames.ts'

/** The facts that are recorded about a server. */
export interface ServerFacts {
  /** Names the server among the parties. */
  readonly name: string
  /** Messages of its models, both ways, are between them and the host, and nothing of the machine's: requests of disks. */
  readonly talksToHost: boolean
  /** The models would answer at once if nothing were recorded. */
  readonly answersAtOnce?: boolean
  /** The models are the machine's own, which it has in its thread where nothing is recorded. */
  readonly isLocal?: boolean
  /** Set if the server is plugged in while the machine runs: its models arrive as inputs. Absent: the models exist at power-on. */
  readonly plug?: PlugFacts
}

/** Recorded in place of frames: a server that was plugged in ends. */
export const ENDED: Uint8Array = new Uint8Array(0)

/** Commands that a `called` frame answers. */
const CALLS: ReadonlySet<Frame['kind']> = new Set([
  ...(['settle', 'drop', 'save', 'restore', 'quiesce', 'plug', 'unplug'] as const),
])

/**
 * The gate of a server whose models are recorded at the contract: each of their actions is a frame or an answer. The machine
 * stands still while it waits for an answer; actions of the models meanwhile take effect at that instant. Their later actions are
 * inputs, which enter with all others.
 *
 * A replay has the same frames at the same instants, and no models.
 */
export abstract class ModelsGate implements GatedModels, ServerGate {
  readonly postsFreely: boolean
  readonly name: string
  readonly isLocal: boolean
  readonly #answersAtOnce: boolean
  protected readonly gate: InputGate
  protected readonly server: GatedServer
  /** Number of this party at the gate. */
  protected readonly party: number
  protected readonly held: HeldFrames = new HeldFrames()
  /** vCPUs with a pending request, and pending calls, in the order in which they were made. */
  protected readonly vcpus: Set<number> = new Set<number>()
  protected readonly calls: number[] = []
  /** Whether the machine waits for this server's models. */
  protected isStarting: boolean
  readonly #plug: PlugFacts | undefined
  /** The models of a server that was plugged in have not arrived yet. */
  #isComing: boolean
  /** A server that was plugged in has ended. */
  protected isOut = false

  constructor(gate: InputGate, server: GatedServer, facts: ServerFacts) {
    const { name, talksToHost, answersAtOnce = false, isLocal = false, plug } = facts
    this.gate = gate
    this.server = server
    this.postsFreely = talksToHost
    this.#answersAtOnce = answersAtOnce
    this.#plug = plug
    this.name = server.name
    this.isLocal = isLocal
    this.isStarting = plug === undefined
    this.#isComing = plug !== undefined
    const held = {
      save: () => savedFrames(this.held, plug),
      restore: (saved: unknown) => this.restored(saved),
      // A machine that goes on from a checkpoint has models from the first.
      isBusy: () => this.isAwaited || server.unsettled || this.#isComing,
      goesOn: () => server.putBack(),
      isNeverPutBack: true,
    }
    this.party = gate.party(name, (data) => this.#delivered(data), held, plug?.party)
    gate.models.add(this)
  }

  #delivered(data: Uint8Array): void {
    if (data.length === ENDED.length) this.server.end(this.why)
    else new FrameReader((frame) => this.effect(frame)).push(data)
  }

  protected get isPlugged(): boolean {
    return this.#plug !== undefined
  }

  /** The error with which the server has failed; undefined if the server works. */
  protected get why(): unknown {
    return undefined
  }

  /** Whether the machine waits for an action of the server's models. */
  protected get isAwaited(): boolean {
    return this.isStarting || this.vcpus.size > 0 || this.calls.length > 0
  }

  waitsForNothing(vcpu: number): boolean {
    return this.#answersAtOnce && this.vcpus.has(vcpu)
  }

  /** Applies a frame. */
  protected effect(frame: Frame): void {
    this.kept(frame)
    this.server.apply(frame)
  }

  /** Takes note of a frame that takes effect. */
  protected kept(frame: Frame): void {
    if (frame.kind === 'ready') this.#isComing = false
    this.held.take(frame)
  }

  closed(): void {
    this.gate.models.delete(this)
    if (!this.isPlugged || this.isOut) return
    this.isOut = true
    this.#isComing = false
    this.vcpus.clear()
    this.calls.length = 0
    this.gate.leaves(this.party)
  }

  /**
   * Ends the wait that a frame of the server completes. @returns the frame as it is recorded, without numbers of this run's
   * calls
   */
  protected ended(frame: Frame): Frame {
    switch (frame.kind) {
      case 'ready':
        this.isStarting = false
        return frame
      case 'fault':
        if (frame.vcpu !== NO_VCPU) this.vcpus.delete(frame.vcpu)
        return frame
      case 'called': {
        const at = this.calls.indexOf(frame.call)
        if (at >= 0) this.calls.splice(at, 1)
        return { ...frame, call: at }
      }
      case 'dmaWrite':
      case 'memoryWrite':
      case 'ownMemory':
        return frame.call === 0 ? frame : { ...frame, call: 0 }
      default:
        return frame
    }
  }

  sends(frame: Frame): void {
    if (frame.kind === 'timer') this.held.expired(frame.timer)
    else if (frame.kind === 'cancel') this.vcpus.delete(frame.vcpu)
    else if (CALLS.has(frame.kind) && 'call' in frame) {
      this.calls.push(frame.call)
      this.begun()
    }
  }

  abstract saved(deadlineMs: number): Promise<DeviceHostState> | null
  /** The machine has begun to wait. */
  protected abstract begun(): void
  /** Takes the state that this party had saved, after the machine was restored. */
  protected abstract restored(saved: unknown): void
  abstract asked(vcpu: number): void
  abstract answered(vcpu: number): void
  abstract arrived(frame: Frame): boolean
  abstract overlay(gpa: number, bytes: Uint8Array): void
  abstract failed(error: unknown): boolean
}
