import { z } from 'zod'

const plan = z.looseObject({
  seed: z.int(),
  failure: z.string(),
  faults: z.array(z.looseObject({})),
  path: z.array(z.looseObject({ faults: z.array(z.looseObject({})) })).optional(),
})
/** States of a tree, or with `--from-start` branches. */
const explored = z
  .object({
    seed: z.int(),
    states: z.int().optional(),
    branches: z.int().optional(),
    findings: z.array(z.object({ state: z.int().optional(), branch: z.int().optional(), plan })),
  })
  .transform(({ seed, states, branches, findings }) => ({
    seed,
    count: states ?? branches ?? 0,
    findings: findings.map(({ state, branch, plan: found }) => ({
      name: state === undefined ? `branch ${branch}` : `state ${state}`,
      plan: found,
    })),
  }))

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
  findings.map(({ name, plan: { failure } }) => `${name}: ${failure}`).join('; ')
