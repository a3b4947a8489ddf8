// vCPUs in threads of their own that change each other's code, tables and map: how many changes and looks there are in a second.
// Code is changed as fast as the writer can, tables and the map when the reader has seen what was before.
//
//     npm run -s bench -- neighbours [MS]
import { runScenario, SCENARIOS } from '../test/support/neighbours/scenarios.ts'
import { endNeighbours } from '../test/support/neighbours/threads.ts'

export async function run([ms = '3000']: string[]): Promise<void> {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    for (const jit of [false, true]) {
      const outcome = await runScenario(scenario, { rounds: Infinity, ms: Number(ms) }, { jit })
      const perSecond = (count: number): string => Math.round((1000 * count) / outcome.ms).toLocaleString('en')
      const way = jit ? 'compiled' : 'interpreted'
      console.log(
        `${name}, ${way}: ${perSecond(outcome.versions)} changes, ${perSecond(outcome.rounds)} looks a second`,
      )
    }
  }
  await endNeighbours()
}
