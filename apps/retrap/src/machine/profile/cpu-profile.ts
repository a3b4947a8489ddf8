/** The format of V8's CPU profiles, which Chrome's DevTools and speedscope read. */

/** A function in a stack. */
interface CallFrame {
  readonly functionName: string
  readonly scriptId: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: CallFrame
  hitCount: number
  readonly children: number[]
}

/** The content of a `.cpuprofile` file, as JSON. Source: Chrome DevTools Protocol, domain Profiler, type Profile. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Microseconds. */
  readonly startTime: number
  readonly endTime: number
  /** Ids of nodes. */
  readonly samples: readonly number[]
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[]
}

/** The name under which DevTools and speedscope show time in which nothing runs. */
export const IDLE = '(idle)'

/** When profiles start, in microseconds. DevTools take a time of 0 for none, and show nothing. */
const START = 1_000_000

/** Builds a profile from stacks and the time spent in each. */
export class CpuProfileBuilder {
  readonly #nodes: ProfileNode[] = [node(1, '(root)', '')]
  /** Identifiers by the parent's id, name and file. */
  readonly #ids = new Map<string, number>()
  readonly #samples: number[] = []
  readonly #deltas: number[] = []
  #ns = 0
  /** The end of the last sample in whole microseconds: rounding does not add up. */
  #last = 0

  /**
   * Finds or adds the node of a function called from another.
   *
   * @param parent - a node; 1 is the root
   * @param file - the function's file; '' if unknown
   */
  child(parent: number, name: string, file: string): number {
    const key = `${parent} ${file} ${name}`
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const id = this.#nodes.length + 1
    this.#nodes.push(node(id, name, file))
    this.#nodes[parent - 1]!.children.push(id)
    this.#ids.set(key, id)
    return id
  }

  /** Adds time that a node had. @param ns - nanoseconds since the end of the sample before */
  add(id: number, ns: number): void {
    this.#nodes[id - 1]!.hitCount++
    this.#samples.push(id)
    // A reader takes a sample to last until its successor.
    const begin = Math.round(this.#ns / 1000)
    this.#deltas.push(begin - this.#last)
    this.#last = begin
    this.#ns += ns
  }

  build(): CpuProfile {
    return {
      nodes: this.#nodes,
      startTime: START,
      endTime: START + Math.round(this.#ns / 1000),
      samples: this.#samples,
      timeDeltas: this.#deltas,
    }
  }
}

function node(id: number, functionName: string, url: string): ProfileNode {
  const callFrame = { functionName, scriptId: '0', url, lineNumber: -1, columnNumber: -1 }
  return { id, callFrame, hitCount: 0, children: [] }
}
