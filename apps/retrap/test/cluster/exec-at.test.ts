// A command in a service at an instant of a recorded run: the cluster runs again until then.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { replayCluster, type ReplayClusterFlags } from '../../src/commands/cluster/replay.ts'
import { runClusterFile } from '../../src/commands/cluster/run-cluster.ts'
import { linuxWith } from '../support/disk-linux.ts'

const isHere = hasProc && (await linuxWith([], '')) !== undefined
const test = sliceTests(4).skipIf(!isHere)
const folder = temporaryFolder('exec-at')
const [file, plan, record, report, conf] = ['cluster.json', 'plan.json', 'r.run', 'r.xml', 'conf/a'].map((name) =>
  join(folder, name),
)

const SERVE =
  'echo sometimes seen fail >/dev/retrap/report; cat /conf/a; n=0; while :; do n=$((n + 1)); echo $n >/tmp/n; echo tick $n; sleep 0.5; done'
const NODE = { command: ['sh', '-c', SERVE], env: { A: 'b' }, workingDirectory: '/tmp/x', share: ['conf:/conf'] }
const CLUSTER = {
  machines: [{ name: 'node', ...NODE }, { name: 'client' }],
  workload: { on: 'client', drivers: [['sh', '-c', 'until getent hosts node; do :; done; sleep 3']] },
}
const POWER = { kind: 'power', at: 500e6, for: 1e9, machines: ['node'] }
const STRETCHES = [0, 1].map((number) => ({ number, for: 1.2e9, faults: number === 0 ? [] : [POWER] }))
const PLAN = { seed: 3, draws: 'xoroshiro64**', failure: 'x', path: STRETCHES, mended: true }

const all = { stdout: '', stderr: '' }
const into = (name: keyof typeof all) => ({ write: (text: unknown) => void (all[name] += String(text)) })
const outputs = { stdout: into('stdout'), stderr: into('stderr'), run: () => Promise.resolve(9) }
const LIMIT = { timeout: 600_000 }
const note = skipNote(isHere, 'no /proc, or no kernel')

test(`a command has the service's files and processes; a run that is another one ends it${note}`, LIMIT, async () => {
  mkdirSync(join(folder, 'conf'))
  writeFileSync(conf!, 'one\n')
  writeFileSync(file!, JSON.stringify(CLUSTER))
  writeFileSync(plan!, JSON.stringify(PLAN))
  await runClusterFile(file!, { seed: 1, plan: plan!, record: record!, junit: report! }, outputs)
  expect(readFileSync(report!, 'utf8')).toMatch(/tests="2" failures="0" errors="0" skipped="1"/)
  const exec = async (goto: string, command: string, more: ReplayClusterFlags = {}) => {
    Object.assign(all, { stdout: '', stderr: '' })
    const code = await replayCluster(record!, [], { machine: 'node', goto, exec: command, ...more }, outputs)
    return `${code} ${all.stdout} ${all.stderr}`
  }
  const command = 'pwd; echo $A; cat /tmp/n; printf "end" >&2; sleep 1; pgrep -c sleep; exit 7'
  expect(await exec('1.2s', command)).toBe('7 /tmp/x\nb\n3\n1\n retrap: node at 1.2 s, as it was recorded\nend')
  await expect(exec('2s', 'true')).rejects.toThrow('--machine node: it is off at 2 s: choose another --goto')
  const client = { machine: 'client', timeout: 200 }
  writeFileSync(conf!, 'two\n')
  const late =
    "124  retrap: .* as it was recorded; changed since it was recorded: .*\nretrap: the command did not end in 0.2 s of the cluster's time"
  expect(await exec('20ms', 'sleep 9', client)).toMatch(new RegExp(late))
  const other = `did something else: it had 'node: one' .*, and now comes 'node: two' .*; changed since .*: ${conf}$`
  await expect(exec('end', 'true', client)).rejects.toThrow(new RegExp(other))
})
