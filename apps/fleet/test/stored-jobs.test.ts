import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { inputNames, outputNames } from '../src/plan/job-files.ts'
import type { Job, JobInput, JobResult } from '../src/plan/job.ts'
import { embeddedQueue } from '../src/queue/queue.ts'
import { makerOf, runPlan } from '../src/run-plan.ts'
import { FileCache } from '../src/store/file-cache.ts'
import { FolderStore } from '../src/store/store.ts'
import { removeAbandoned, runStoredJob, type StoredJobs } from '../src/worker/job-folder.ts'

const folder = temporaryFolder('fleet-jobs')
const retrap = [process.execPath, fileURLToPath(new URL('support/fake-retrap.mjs', import.meta.url))] as const
const going = new AbortController().signal

const store = new FolderStore(join(folder, 'store'))
function stored(host: string, modules: StoredJobs['modules']): StoredJobs {
  const cache = new FileCache(join(folder, host, 'files'), store, 2 ** 30)
  return { store, cache, scratch: join(folder, host, 'machines'), modules }
}

/** Runs a plan whose machines another host makes, which has none of its files. */
async function runElsewhere(plan: string, elsewhere: StoredJobs): Promise<readonly JobResult[]> {
  const out = mkdtempSync(join(folder, 'out-'))
  const logs = mkdtempSync(join(folder, 'logs-'))
  writeFileSync(join(folder, 'plan.yaml'), plan)
  await runPlan(join(folder, 'plan.yaml'), {
    ...{ retrap, out, signal: going, progress: { write: () => {} } },
    stored: stored('here', 'all'),
    queueOf: () =>
      // As a queue does, by JSON.
      embeddedQueue(1, async (job, ...rest) =>
        makerOf({ retrap, logs }, elsewhere)(JSON.parse(JSON.stringify(job)), ...rest),
      ),
  })
  const { results } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as { results: JobResult[] }
  for (const { job, attempts } of results)
    if (attempts[0]?.artefacts !== undefined) expect(existsSync(join(out, 'logs', `${job.id}.1.log`))).toBe(true)
  return results
}

describe('jobs whose files are in a store', () => {
  test('have files, and leave files, by hash; a disk is a copy', async () => {
    writeFileSync(join(folder, 'vmlinuz'), 'of Linux')
    writeFileSync(join(folder, 'disk,1.img'), 'a disk')
    const [first, second] = await runElsewhere(
      'machines: [{ kernel: vmlinuz, hda: "disk,1.img", record: what.rec, expect: ["kernel of Linux", "a disk and written"], repeat: 2 }]',
      stored('there', new Set()),
    )
    expect([first?.passed, second?.passed]).toEqual([true, true])
    expect(first?.job.args).toEqual(['--kernel=vmlinuz', '--hda=disk,1.img', '--record=what.rec'])
    const artefacts = first?.attempts[0]?.artefacts
    expect(artefacts?.map(({ name }) => name)).toEqual(['log', 'what.rec'])
    await store.get(artefacts?.[1]?.sha256 ?? '', join(folder, 'back'))
    expect(readFileSync(join(folder, 'back'), 'utf8')).toBe('what has happened')
    expect(readFileSync(join(folder, 'disk,1.img'), 'utf8')).toBe('a disk')
    expect(readdirSync(join(folder, 'there', 'machines'))).toEqual([])
  })

  test('a module runs only where its hash is allowed', async () => {
    writeFileSync(join(folder, 'device.mjs'), 'export const models = []')
    const plan = 'machines: [{ device: [./device.mjs], append: x }]'
    const [refused] = await runElsewhere(plan, stored('there', new Set()))
    const detail = refused?.attempts[0]?.detail ?? ''
    expect(detail).toMatch(/^\.\/device\.mjs is code, which this worker does not allow: --allow-module [0-9a-f]{64}$/)
    const [allowed] = await runElsewhere(plan, stored('there', new Set([detail.slice(-64)])))
    expect(allowed?.attempts[0]).toMatchObject({ outcome: 'passed' })
  })

  test('files of the host are refused, whatever the queue says', async () => {
    const job: Job = {
      ...{ id: 'j', name: 'j', system: 'run', folder, expect: [], timeoutSeconds: 9, retries: 0, args: [] },
    }
    const run = (changes: Partial<Job>) =>
      runStoredJob({ retrap, logs: folder }, stored('there', new Set()), { ...job, ...changes }, 1, going)
    expect((await run({ args: ['--kernel=/etc/passwd'] })).detail).toContain('/etc/passwd is not in the store')
    expect((await run({ args: ['--device=/tmp/x.js'], inputs: [] })).detail).toContain('is not in the store')
    const input: JobInput = { arg: 0, at: 9, name: '../..', use: 'read', sha256: '0'.repeat(64), bytes: 1 }
    expect((await run({ args: ['--kernel=../..'], inputs: [input] })).detail).toContain('is no name of a file')
    const wrong = { ...input, name: 'x', sha256: '../../x' }
    expect((await run({ args: ['--kernel=x'], inputs: [wrong] })).detail).toContain('is not in the store')
    const absent = { ...input, name: 'x' }
    expect(await run({ args: ['--kernel=x'], inputs: [absent] })).toMatchObject({
      outcome: 'error',
      detail: expect.stringContaining('has no 000'),
    })
    expect((await run({ args: ['--record=../x'] })).detail).toContain('without a folder')
    expect(await makerOf({ retrap, logs: folder }, undefined)({ ...job, inputs: [] }, 1, going)).toMatchObject({
      outcome: 'error',
      detail: 'its files are in a store: start this worker with --store',
    })
  })

  test('folders of killed workers go', async () => {
    const scratch = join(folder, 'scratch')
    for (const name of ['4194305-abc', `${process.pid}-abc`, 'other'])
      mkdirSync(join(scratch, name), { recursive: true })
    await removeAbandoned(scratch)
    expect(readdirSync(scratch).sort()).toEqual([`${process.pid}-abc`, 'other'].sort())
    await removeAbandoned(join(folder, 'nothing'))
  })
})

test.each([
  ['--kernel=a', [[9, 'a', 'read']]],
  ['--append=file=a', []],
  ['a.img', [[0, 'a.img', 'write']]],
  ['--module=m.bin some text', [[9, 'm.bin', 'read']]],
  ['--drive=if=ide,file=a,,b.img,format=raw', [[20, 'a,,b.img', 'write']]],
  ['--drive=file=a,snapshot=on', [[13, 'a', 'read']]],
  ['--drive=file=https://host/a', []],
  ['--drive=if=none,id=x', []],
  ['--device=virtio-rng-pci', []],
  ['--device=./d.ts,transport=worker', [[9, './d.ts', 'code']]],
  ['--fda=f', [[6, 'f', 'write']]],
])('the files of %s', (argument, expected) => {
  expect(inputNames({ args: [argument] })).toEqual(expected.map(([at, name, use]) => ({ arg: 0, at, name, use })))
  const kept = inputNames({ args: [argument, '--snapshot'] }).map(({ use }) => use)
  expect(kept).toEqual(expected.map(([, , use]) => (use === 'write' ? 'read' : use)))
})

test('the files that a machine leaves', () => {
  const args = '--record=r --audio=wav:a.wav --display=terminal --display=png:p.png --serial=stdio --kernel=k'.split(
    ' ',
  )
  expect(outputNames({ args })).toEqual({ names: ['r', 'a.wav', 'p.png'] })
  expect(outputNames({ args: ['--record=/x'] }).mistake).toContain('--record')
})
