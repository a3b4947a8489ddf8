import { z } from 'zod'

const plan = z.looseObject({ seed: z.int(), branch: z.int(), failure: z.string(), faults: z.array(z.looseObject({})) })
const explored = z.object({
  seed: z.int(),
  branches: z.int(),
  findings: z.array(z.object({ branch: z.int(), plan })),
})

/** Findings of `retrap cluster explore` with a seed. The plan of a failure is for `retrap cluster run --plan`. */
export type Explored = z.output<typeof explored>

/** Reads the last line of `retrap cluster explore --jsonl`; undefined for another line. */
export function readExplored(line: string): Explored | undefined {
  try {
    return explored.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}

/** Tells failures in one line. */
export const findingsText = ({ findings }: Explored): string =>
  findings.map(({ branch, plan: { failure } }) => `branch ${branch}: ${failure}`).join('; ')
