import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runHere } from '../support/in-process.ts'

const DEADLINE_MS = 60_000
/** So long is the machine away, in milliseconds. */
const AWAY = 6000
/** How much a clock may be late, or early, in milliseconds. */
const EXACT = 1000

/** As systemd-logind does: the sleep button has the kernel sleep. What is typed is a script. */
const BEHAVIOUR = `${FIRST_PROCESS}/drivers
for input in /sys/class/input/input*; do
  [ "$(cat $input/name)" = 'Sleep Button' ] && event=$(ls $input | grep ^event)
done
(head -c 24 /dev/input/$event > /dev/null; echo mem > /sys/power/state; echo has-$((6 * 7))) &
sleep 1
stty -echo
echo waits-$((6 * 7))
exec sh
`
const linux = await linuxWith(['button', 'evdev'], BEHAVIOUR)
const there = linux !== undefined
const folder = temporaryFolder('guest-clock')

/** Tells the time when its second begins. */
const TELL = 's=$(date +%s); while [ $s = $(date +%s) ]; do :; done; echo now $(date +%s)\n'

test.runIf(there)(
  `a guest that was away has the time after it has slept for a moment${skipNote(there, 'there is no apt')}`,
  async () => {
    const [file, initrd] = [join(folder, 'snapshot'), join(folder, 'initrd')]
    writeFileSync(initrd, linux!.initrd)
    const images = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', `${TO_DEVICES} rdinit=/auto`]
    const saved = await runHere(['run', ...images, '--save-on-exit', file], {
      answers: [{ to: 'waits-42', type: '\u0001x' }],
      deadlineMs: DEADLINE_MS,
    })
    expect(saved.code, saved.stderr).toBe(0)
    await sleep(AWAY)
    let late = NaN
    const { code, stdout, stderr } = await runHere(['restore', file, '--set-clock'], {
      answers: [
        { to: 'has-42', type: TELL },
        { to: 'now ', type: 'poweroff -f\n' },
      ],
      onOutput: (text) => {
        const guest = /now (\d+)/.exec(text)?.[1]
        if (guest !== undefined && Number.isNaN(late)) late = Date.now() - Number(guest) * 1000
      },
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout, stderr).toMatch(/now \d+/)
    expect(stderr).toContain('retrap: the guest has slept for a moment, and has the time now')
    expect(stderr).not.toContain('the guest sleeps;')
    expect(Math.abs(late)).toBeLessThan(EXACT)
    expect(code).toBe(0)
  },
  2 * DEADLINE_MS,
)
