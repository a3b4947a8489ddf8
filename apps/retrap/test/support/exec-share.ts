/** Programs of `retrap exec` in this process, with a folder that is any share, and the probe of its files. */
import { randomBytes } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MemoryShare, type Share } from '@retrap/virtio/p9'
import { ExecGuest, unused } from '@retrap/linux-guest/jobs/guest'
import { openHostRoot } from '@retrap/linux-guest/jobs/host-root'
import { encodeJob, encodeStart } from '@retrap/linux-guest/jobs/job'
import { guestShares, keepKind, pathOfKept } from '@retrap/linux-guest/jobs/kept-machine'
import { type ExecKind, folderName, keptKind } from '@retrap/linux-guest/jobs/machine'
import { openModules } from '@retrap/linux-guest/jobs/module-share'
import { TakenPort } from '@retrap/linux-guest/jobs/ports'
import { ViewShare } from '@retrap/linux-guest/jobs/view-share'
import { packageVersion } from '../../src/package-version.ts'
import { EXEC_TIME, foldersTag } from '@retrap/linux-guest/linux/exec-initramfs'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'
import { EXEC_DEADLINE_MS } from './exec.ts'

/** The same in the guest, whatever PATH is. */
export const PYTHON = '/usr/bin/python3'
const PROBE = fileURLToPath(new URL('share-probe.py', import.meta.url))
const KIND: ExecKind = keptKind({
  arch: 'amd64',
  debian: '12',
  cpu: undefined,
  memoryBytes: 512 << 20,
  cpus: 1,
  kernel: undefined,
  devices: [],
})

/**
 * Runs a program of the host in a guest that has a share at a path.
 *
 * @param preparation - commands that come before the share is at its path
 * @returns what it prints
 */
export async function execOn(
  share: Share,
  path: string,
  program: readonly string[],
  preparation: readonly string[] = [],
): Promise<string> {
  const [root, modules] = await Promise.all([openHostRoot([dirname(PROBE)]), openModules(KIND, [], () => {})])
  const entries = new Map([[folderName(0), { kind: 'node', open: () => share.root() } as const]])
  const shares = [
    ...guestShares(root.share, modules.share, []).slice(0, -1),
    { tag: foldersTag(false), share: new ViewShare({ kind: 'directory', entries }), readOnly: false },
  ]
  const outside = { shares, network: undefined, devices: undefined }
  const kept = pathOfKept(KIND, packageVersion(), false)
  await keepKind(kept, KIND, outside, () => {})
  const over = new AbortController()
  let printed = ''
  const status = (line: string): void => {
    if (line === EXEC_TIME) guest.jobs.say(encodeStart(Date.now() / 1000))
    // The last output comes first.
    else if (line.startsWith('end ')) setTimeout(() => over.abort(), 100)
  }
  const stdout = new TakenPort((bytes) => ((printed += Buffer.from(bytes).toString()), true))
  const guest = await ExecGuest.restore(kept, KIND, { ...unused(status), stdout }, outside, () => over.abort())
  try {
    const mounts = [{ path, name: folderName(0), readOnly: false }]
    const who = { env: ['PATH=/usr/bin:/bin'], uid: 0, gid: 0, workingDirectory: '/' }
    const more = { home: undefined, hostname: 'retrap', files: {}, terminal: undefined, entropy: randomBytes(64) }
    guest.jobs.say(encodeJob({ program, mounts, preparation, ...who, ...more }))
    await guest.run(over.signal, EXEC_DEADLINE_MS)
  } finally {
    guest.close()
    await Promise.all([root.close(), modules.close()])
  }
  return printed
}

/** Where the probe makes its calls, beside a folder of the host. */
export type ProbePlace = 'folder' | 'memory' | 'root'
export const PROBE_PLACES: readonly ProbePlace[] = ['folder', 'memory', 'root']

/** Differences that the README has as rows; a row that says `alone` is of that place. */
const ROWS = [
  ...readFileSync(new URL('../../README.md', import.meta.url), 'utf8').matchAll(/^\| `([^`]+ = [^`]+)` \|.*/gm),
].map(([row, line = '']) => ({ row, line: line.replaceAll('\\|', '|') }))

const isAccepted = (answer: string, place: ProbePlace): boolean =>
  ROWS.some(({ row, line }) => line === answer && (!row.includes(' alone') || row.includes(place)))

function probe(folder: string, args: readonly (string | number)[]): string {
  const { stdout, stderr, status } = spawnSync(PYTHON, [PROBE, folder, ...args.map(String)], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return stdout
}

/**
 * Makes the calls of the probe in a folder of the host, and in a guest.
 *
 * @param args - of the probe
 * @returns the answers that differ and are no row of the README, with the calls before
 */
export async function compareCalls(place: ProbePlace, args: readonly (string | number)[]): Promise<readonly string[]> {
  const [host, shared] = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'retrap-calls-')))
  const local = new LocalShare(shared!)
  try {
    // No guest makes these, so that the other places have none.
    if (place === 'folder') for (const folder of [host!, shared!]) probe(folder, ['prepare'])
    for (const folder of [host!, shared!]) chmodSync(folder, 0o755)
    const path = place === 'root' ? '/srv/calls' : '/mnt'
    const script = `mkdir -p ${path}; exec ${PYTHON} ${PROBE} ${path} ${args.join(' ')} 2>&1`
    const share = place === 'folder' ? local : new MemoryShare()
    const ours = probe(host!, args).split('\n')
    const theirs = (await execOn(share, '/mnt', ['/bin/sh', '-c', script])).split('\n')
    if (ours.length !== theirs.length) return [`the guest's last calls: ${theirs.slice(-9).join('\n')}`]
    return theirs.flatMap((answer, i) =>
      answer === ours[i] || isAccepted(answer, place)
        ? []
        : `${ours.slice(Math.max(i - 8, 0), i).join('\n')}\non the host ${ours[i]}\nin the guest ${answer}`,
    )
  } finally {
    await local.close()
    for (const folder of [host!, shared!]) rmSync(folder, { recursive: true })
  }
}
