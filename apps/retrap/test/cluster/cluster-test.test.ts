/** Tests of a cluster of two Linux guests, by `clusterTest` and by any runner. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterInput } from '@retrap/cluster'
import { testCluster } from '@retrap/cluster/node'
import { clusterTest } from '@retrap/cluster/vitest'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { retrapCommand } from '../support/processes.ts'

// Linux is booted.
const test = sliceTests(8)
const folder = temporaryFolder('cluster-test')
const hasLinux = hasProc && (await linuxWith([], '')) !== undefined

/** A program that trusts the clock of its machine, which reaches the other by its name. */
const PROGRAM = `getent hosts node >/dev/null || exit 9
a=$(date +%s); sleep 2; b=$(date +%s)
[ $((b - a)) -lt 4 ] && is=ok || is=fail
echo "always steady $is" >/dev/retrap/report`
const CLUSTER: ClusterInput = {
  machines: [{ name: 'node' }, { name: 'client' }],
  workload: { on: 'client', drivers: [['sh', '-c', PROGRAM]] },
  faults: { for: '4s', heal: '1s' },
}
const clock = { kind: 'clock', at: '1s', for: '3s', amount: '5s', machines: ['client'] } as const
const late = { kind: 'delay', at: '500ms', for: '1s', amount: '1ms' } as const
const FAILING: ClusterInput = { ...CLUSTER, faults: { ...CLUSTER.faults, list: [late, clock] } }
const retrap = [process.execPath, ...retrapCommand([])] as const
const LIMIT = { timeout: 600_000 }

describe.skipIf(!hasLinux)(`a cluster of Linux guests${skipNote(hasLinux, 'no /proc, or no kernel')}`, () => {
  clusterTest('a clock is right', CLUSTER, { retrap })

  test('a failure says the seed, its faults, and how to see it again; its plan fails as well', LIMIT, async () => {
    const outputFolder = join(folder, 'failure')
    const failure = 'always steady failed on client'
    const faults = '- 500 ms: delay of 1 ms, all ways, for 1 s\n- 1 s: clock of 5 s, client, for 3 s\n'
    const failed = testCluster(FAILING, { seed: 3, outputFolder, retrap })
    await expect(failed).rejects.toThrow(`${failure}\nSeed 3, branch 0, and these faults:\n${faults}`)
    await expect(failed).rejects.toThrow('client: always steady fail\n')
    await expect(failed).rejects.toThrow(`run ${outputFolder}/cluster.json --plan ${outputFolder}/plan.json\n`)
    expect(existsSync(join(outputFolder, 'failure.run'))).toBe(true)
    const more = { branches: 1, outputFolder: join(folder, 'again'), retrap }
    await expect(testCluster(FAILING, more)).rejects.toThrow(
      `branch 1, and these faults:\n${faults.split('\n')[1]}\nThe`,
    )
    const plan = join(folder, 'again/plan.json')
    expect(JSON.parse(readFileSync(plan, 'utf8'))).toMatchObject({ seed: 1, failure })
    await expect(testCluster(FAILING, { plan, outputFolder, retrap })).rejects.toThrow(failure)
  })

  test('a mistake names its field, and what cannot run is told', LIMIT, async () => {
    const [machine] = CLUSTER.machines
    const mistake = testCluster({ machines: [{ ...machine!, memory: 'much' }] }, { retrap })
    await expect(mistake).rejects.toThrow("machines[0].memory: 'much': expected a size")
    const absent = testCluster({ machines: [{ ...machine!, image: 'none.tar' }] }, { outputFolder: folder, retrap })
    await expect(absent).rejects.toMatchObject({ code: 'ERR_MACHINE', message: expect.stringContaining('none.tar') })
  })
})
