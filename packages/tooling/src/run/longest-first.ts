import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification, type Vitest } from 'vitest/node'
import { readDurations } from './durations.ts'

/** A file that is not known yet may be long. */
const UNKNOWN_SECONDS = 10

/**
 * Begins with the longest test file, so that no worker is left with it at the end. Files of a package that share a process
 * stay together: a worker keeps its process as long as the next file is of the same project.
 */
export class LongestFirst extends BaseSequencer {
  readonly #seconds: (specification: TestSpecification) => number

  constructor(vitest: Vitest) {
    super(vitest)
    const { root } = vitest.config
    const seconds = readDurations(root)
    this.#seconds = ({ moduleId }) => seconds[relative(root, moduleId).replaceAll('\\', '/')] ?? UNKNOWN_SECONDS
  }

  override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
    const groups = Map.groupBy(specifications, (one) => (one.project.config.isolate ? one : one.project))
    return [...groups.values()]
      .map((group) => group.toSorted((a, b) => this.#seconds(b) - this.#seconds(a)))
      .toSorted((a, b) => this.#seconds(b[0]!) - this.#seconds(a[0]!))
      .flat()
  }
}
