// A machine whose power goes at every flush of its disk, by the command and by vitest.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { testCrashes } from '@retrap/cluster/node'
import { crashTest } from '@retrap/cluster/vitest'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { retrapCommand, runRetrap } from '../support/processes.ts'

const isHere = hasProc && (await linuxWith([], '')) !== undefined
const test = sliceTests(4)
const folder = temporaryFolder('crash-test')
const retrap = [process.execPath, ...retrapCommand([])] as const
const deadlineMs = 600_000

/** A file is replaced as it should be. */
const REPLACE = 'echo $n >new; sync new; mv new kept; sync kept .; echo promised kept $n >/dev/retrap/report'
/** A log is not synced. */
const APPEND = 'echo $n >>log; echo promised log $n >/dev/retrap/report'
const work = (step: string): string => `cd /data; for n in 1 2; do ${step}; done`
const found = (name: string): string => `echo found ${name} $(tail -n 1 /data/${name} || echo 0) >/dev/retrap/report`

describe.skipIf(!isHere)(`a crash at every flush${skipNote(isHere, 'no /proc, or no kernel')}`, () => {
  crashTest('a file that was synced is there', { work: work(REPLACE), check: found('kept'), folder, retrap })

  test(
    'a log that is not synced is lost; its plan and its recording show that again',
    { timeout: deadlineMs },
    async () => {
      const [out, junit] = [join(folder, 'out'), join(folder, 'report.xml')]
      const check = `cat /data/*; ${found('kept')}; ${found('log')}`
      const words = [
        '--work',
        work(`${REPLACE}; ${APPEND}`),
        '--check',
        check,
        '--out',
        out,
        '--junit',
        junit,
        '--jobs',
        '2',
      ]
      const { code, stdout } = await runRetrap(['crash-test', ...words, '--jsonl'], { deadlineMs })
      const events = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      const losses = events.filter(({ kind }) => kind === 'loss')
      expect(code).toBe(1)
      expect(losses.length).toBeGreaterThanOrEqual(2)
      expect(new Set(losses.map(({ plan }) => plan.failure.replace(/:.*/, '')))).toEqual(
        new Set(['always log failed on machine']),
      )
      expect(losses.map(({ without }) => without).join()).toMatch(/(\/data\/log|journal) \(\d+ KiB\)/)
      const states = events.filter(({ kind }) => kind === 'state')
      expect(events.at(-1)).toMatchObject({
        kind: 'crash-test',
        states: states.length,
        lost: losses.length,
        leftOut: 0,
      })
      expect(readFileSync(junit, 'utf8').match(/<failure/g)).toHaveLength(losses.length)
      expect(existsSync(join(out, `flush-${losses[0].flush}.run`))).toBe(true)
      const { flush, plan } = losses.at(-1)
      const again = ['cluster', 'run', join(out, 'cluster.json'), '--plan', join(out, `flush-${flush}.json`)]
      expect(await runRetrap(again, { deadlineMs })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(plan.failure),
      })
    },
  )

  test('work that fails, and a file system that cannot be mounted', { timeout: deadlineMs }, async () => {
    const given = { check: ':', folder, retrap }
    await expect(testCrashes({ ...given, work: 'exit 3' })).rejects.toThrow('without a crash: driver 1 ended with 3')
    const damaged = 'umount /data; dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync; exit 0'
    await expect(testCrashes({ ...given, work: damaged, options: ['--jobs', '1'] })).rejects.toThrow(
      'the disk cannot be mounted',
    )
  })
})
