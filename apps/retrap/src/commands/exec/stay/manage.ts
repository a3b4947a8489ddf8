/** `retrap exec --running` and `--stop`. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Socket } from 'node:net'
import { printLines } from '../../../print-lines.ts'
import type { ExecHost } from '../run.ts'
import { closed, connectTo, hear, send, type StayStatus, type Told } from './channel.ts'
import { isSocketName, stayFolder, staySecret } from './place.ts'

/** Lists the processes that stay. @returns the exit code */
export async function listStaying({ stdout }: ExecHost): Promise<number> {
  const all = await reachable()
  const rows = await Promise.all(all.map(async (socket) => rowOf(await statusOf(socket))))
  for (const socket of all) socket.destroy()
  await printLines(rows.length === 0 ? ['no process stays'] : rows, stdout)
  return 0
}

/** Ends the processes that stay. @returns the exit code, when they have ended */
export async function stopStaying({ stdout }: ExecHost): Promise<number> {
  const all = await reachable()
  const rows = await Promise.all(
    all.map(async (socket) => {
      const { pid, runs } = await statusOf(socket)
      send(socket, { op: 'stop' })
      await closed(socket)
      return `process ${pid} has ended${runs === 0 ? '' : `, and ${runs} of its runs with it`}`
    }),
  )
  await printLines(rows.length === 0 ? ['no process stays'] : rows, stdout)
  return 0
}

/** Connections to all processes of this user that answer. */
async function reachable(): Promise<readonly Socket[]> {
  if (process.platform !== 'linux') return []
  const folder = stayFolder()
  const secret = staySecret(folder)
  const found = readdirSync(folder).filter(isSocketName)
  const all = await Promise.all(
    found.map((name) => connectTo(join(folder, name), secret, 'control').catch(() => undefined)),
  )
  return all.filter((socket) => socket !== undefined)
}

const statusOf = (socket: Socket): Promise<StayStatus> =>
  new Promise((resolve, reject) => {
    hear<Told>(socket, (told) => told.op === 'status' && resolve(told.status))
    void closed(socket).then(() => reject(new Error('the process that stays has ended')))
    send(socket, { op: 'status' })
  })

function rowOf({ pid, about, runs, done, memory, leftMs }: StayStatus): string {
  const when = leftMs === undefined ? `${runs} under way` : `idle, ends in ${Math.ceil(leftMs / 1000)} s`
  return `${pid}  ${about}  ${memory} in use  ${done} runs, ${when}`
}
