import type { DeviceModel, InvalidatedFrames } from '@retrap/device'
import { isPromise } from '@retrap/device/host'
import { Countdown, type ModelMemory } from './device-memory.ts'

/** The part of a model that notices need. */
export interface NoticedModel {
  readonly model: DeviceModel
  readonly detached: boolean
  readonly memory: ModelMemory
  /** Called when the model has dropped mappings as asked; one callback for each request. */
  readonly forgetting: Set<() => void>
}

/** Work that a model has begun and not ended. */
interface Begun {
  readonly device: string
  readonly what: string
}

/** Reports a model that failed outside of a request. */
export type ReportFailure = (device: string, what: string, error: unknown) => void

/** Has models drop their mappings of guest memory, and waits for it. */
export class ModelNotices {
  readonly #models: () => Iterable<NoticedModel>
  readonly #failed: ReportFailure
  /** Access to guest memory for requests whose data is a pointer. */
  readonly #dma: ModelMemory
  /** Frames of each vCPU's next INVALIDATE request, where they were announced; null: all frames. */
  readonly announced: Map<number, readonly InvalidatedFrames[] | null> = new Map()
  /** Buffered writes that have been begun and not ended. */
  readonly #buffered = new Map<Promise<void>, Begun>()
  /** Promises of timers' callbacks that have not settled. */
  readonly #begun = new Map<Promise<void>, Begun>()

  constructor(models: () => Iterable<NoticedModel>, dma: ModelMemory, failed: ReportFailure) {
    this.#models = models
    this.#dma = dma
    this.#failed = failed
  }

  /** Takes the announced frames of a vCPU's next INVALIDATE request; null: all frames. */
  takeAnnounced(vcpu: number): readonly InvalidatedFrames[] | null {
    const frames = this.announced.get(vcpu) ?? null
    this.announced.delete(vcpu)
    return frames
  }

  /** A buffered write is under way: an invalidation waits for it. */
  buffered(write: Promise<void>, device: string, what: string): void {
    const ended = write.finally(() => void this.#buffered.delete(ended))
    this.#buffered.set(ended, { device, what })
  }

  /** A callback that no vCPU waits for, a timer's for instance, has returned a promise. */
  begun(promise: PromiseLike<unknown>, device: string, what: string): void {
    const ended: Promise<void> = Promise.resolve(promise)
      .then(
        () => undefined,
        (error: unknown) => this.#failed(device, what, error),
      )
      .finally(() => void this.#begun.delete(ended))
    this.#begun.set(ended, { device, what })
  }

  /** Whether models have promises under way that no vCPU waits for. */
  get unsettled(): boolean {
    return this.#buffered.size > 0 || this.#begun.size > 0
  }

  /** Calls back when all promises of models that no vCPU waits for have settled; at once if there are none. */
  settle(done: () => void): void {
    const open = new Countdown(done)
    for (const each of [this.#buffered, this.#begun]) for (const promise of each.keys()) open.promise(promise)
    open.start()
  }

  /** Reports the models whose promises have not settled as failed, and waits for those promises no longer. */
  failUnsettled(error: unknown): void {
    for (const each of [this.#buffered, this.#begun]) {
      const late = [...each.values()]
      each.clear()
      for (const { device, what } of late) this.#failed(device, what, error)
    }
  }

  /**
   * Has all models drop their mappings of guest frames.
   *
   * @param frames - null: all
   * @param done - called when no mapping of them is held, and all work in flight, buffered writes included, has ended
   */
  dropMappings(frames: readonly InvalidatedFrames[] | null, done: () => void): void {
    const open = new Countdown(done)
    for (const write of this.#buffered.keys()) open.promise(write)
    drop(this.#dma, frames, open)
    for (const each of this.#models()) {
      // Dropped before the model's `invalidate`: its later mappings are of the new frames.
      drop(each.memory, frames, open)
      if (!each.detached) this.#tell(each, frames, open)
    }
    open.start()
  }

  /** Has one model drop all that it has mapped. @param done - called when it holds no mapping, and no transfer is in flight */
  dropMappingsOf(model: NoticedModel, done: () => void): void {
    const open = new Countdown(done)
    for (const [write, { device }] of this.#buffered) if (device === model.model.name) open.promise(write)
    drop(model.memory, null, open)
    this.#tell(model, null, open)
    open.start()
  }

  /** Tells a model which frames to forget. It has until its promise is settled, or until it is taken out. */
  #tell({ model, forgetting }: NoticedModel, frames: readonly InvalidatedFrames[] | null, open: Countdown): void {
    const failed = (error: unknown): void => this.#failed(model.name, 'invalidate', error)
    try {
      const promise: unknown = model.invalidate?.(frames)
      if (!isPromise(promise)) return
      const end = open.begin()
      const ended = (): void => {
        forgetting.delete(ended)
        end()
      }
      forgetting.add(ended)
      Promise.resolve(promise).catch(failed).then(ended, ended)
    } catch (error) {
      failed(error)
    }
  }

  /** A model that still holds a mapping which has been asked for back, or has not ended its own `invalidate`. */
  get holder(): string | undefined {
    for (const { model, memory, forgetting } of this.#models()) {
      if (memory.holds || forgetting.size > 0) return model.name
    }
    return undefined
  }

  /** Ends all mappings of all models, permanently. */
  endMappings(): void {
    this.#dma.close()
    for (const { memory } of this.#models()) memory.close()
  }
}

function drop(memory: ModelMemory, frames: readonly InvalidatedFrames[] | null, open: Countdown): void {
  memory.drop(frames)
  for (const each of memory.toEnd) open.mappings(each)
  for (const each of memory.inFlight) open.promise(each)
}
