/** Runs of Linux with a disk and a network, which are recorded and run again without either. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { BlockBackend } from '@retrap/device'
import { openImage } from '@retrap/block/node'
import { type PcOptions, recordPc, replayPc } from '@retrap/machine'
import { TEST_LONG } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { makeExt4 } from '../support/boot-media.ts'
import { diskLinux } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { echoWhenReady, freePort, openHost } from '../support/network-host.ts'
import { networkLinux } from '../support/network-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'
import { slow } from '../support/slow-image.ts'
import { sha256 } from '../support/sha256.ts'

const test = sliceTests(3)
const DEADLINE_MS = 200_000
const folder = temporaryFolder('recording')
const lacking = lackingPrograms('mkfs.ext4')
const disk = lacking.length === 0 ? await diskLinux() : undefined
const network = await networkLinux()
const diskNote = skipNote(disk !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)
const networkNote = skipNote(network !== undefined, 'there is no apt')

test.skipIf(disk === undefined)(
  `a replay has what was read from a disk, and does not read it${diskNote}`,
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const data = randomBytes(700_001)
    const files = join(folder, 'files')
    mkdirSync(files)
    writeFileSync(join(files, 'data'), data)
    const path = join(folder, 'disk.img')
    makeExt4(path, 16 << 20, files)
    const options = (medium: BlockBackend, jit: boolean): PcOptions => ({
      memoryBytes: 256 << 20,
      cpus: 2,
      kernel: new Uint8Array(readFileSync(disk!.kernelPath)),
      initrd: disk!.initrd.slice(),
      commandLine: `${TO_DEVICES} rdinit=/auto`,
      clock: 'deterministic',
      jit,
      drives: [{ medium }],
    })
    const image = await openImage(path)
    const pieces: Uint8Array[] = []
    const recorder = await recordPc(options(slow(image, 1), true), (piece) => void pieces.push(piece.slice()))
    let printed = ''
    recorder.pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
    expect(await recorder.pc.run({ timeoutMs: DEADLINE_MS })).toMatchObject({ reason: 'power-off' })
    await recorder.end()
    recorder.pc.close()
    expect(printed).toContain(`${sha256(data)}  /mnt/data`)
    const file = Buffer.concat(pieces)
    const refused = (): Promise<never> => Promise.reject(new Error('a replay uses the disk'))
    const none: BlockBackend = {
      properties: image.properties,
      read: refused,
      write: refused,
      flush: refused,
      discard: refused,
      writeZeroes: refused,
      onChange: () => () => undefined,
    }
    await image.close()
    let again = ''
    const replay = await replayPc(
      // Without compiled code this takes long. That both agree is shown of the embedded guest (../recording.test.ts).
      options(none, !TEST_LONG),
      { bytes: file.length, read: (offset, bytes) => file.subarray(offset, offset + bytes) },
      { onMachine: (pc) => pc.serial.onTransmit((bytes) => (again += Buffer.from(bytes).toString('latin1'))) },
    )
    expect(await replay.run({ timeoutMs: DEADLINE_MS })).toMatchObject({ reason: 'power-off' })
    expect(replay.instructions).toBe(replay.end)
    expect(again).toBe(printed)
    replay.close()
  },
)

test.skipIf(network === undefined)(
  `a replay has the packets of a network${networkNote}`,
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const host = await openHost()
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, network!.initrd)
    writeFileSync(join(folder, 'boot.img'), randomBytes(70_000))
    const port = await freePort()
    const sent = randomBytes(100_000)
    const file = join(folder, 'network.recording')
    const echo = echoWhenReady(port, sent)
    const { http, sink } = host.ports
    let first
    try {
      first = await runRetrap(
        [
          ...['run', '--record', file, '--memory', '256M', '--kernel', network!.kernelPath, '--initrd', initrd],
          ...['--append', `${TO_DEVICES} rdinit=/auto http=${http} sink=${sink} name=localhost address=127.0.0.1`],
          ...['--netdev', `user,id=n,hostname=guest,domainname=test,hostfwd=tcp::${port}-:7,tftp=${folder}`],
          ...['--device', 'virtio-net-pci,netdev=n'],
        ],
        { deadlineMs: DEADLINE_MS, onOutput: echo.onOutput },
      )
      expect(first.stdout).toContain('DONE')
      expect(first.stdout).toContain(sha256(host.data))
      expect(sha256(echo.received())).toBe(sha256(sent))
      expect(statSync(file).size).toBeGreaterThan(1_000_000)
    } finally {
      host.close()
    }
    // The port of the run that was recorded is another's now: a replay has no use for it.
    const other = createServer().listen(port, '127.0.0.1')
    await once(other, 'listening')
    const again = await runRetrap(['replay', file, '--jit', 'on'], { deadlineMs: DEADLINE_MS })
    other.close()
    expect(again.stdout, again.stderr).toBe(first.stdout)
    expect(again.code).toBe(first.code)
  },
)
