import { Disk } from '../disk.ts'
import type { ClusterGuest, ClusterHost, GuestListener } from '../host.ts'
import type { Call, DiskAct, ErrorTold, Reply, Request, Said, ThreadPort } from './messages.ts'

/** Serves guests to a cluster that is in another thread: the program of a Worker. @param host - makes the guests */
export function serveGuests(port: ThreadPort, host: ClusterHost): void {
  const server = new GuestServer(host)
  let queue = Promise.resolve()
  port.onMessage((message) => {
    queue = queue.then(async () => {
      const replies: Reply[] = []
      for (const request of message as readonly Request[]) replies.push(await server.answer(request))
      port.post(replies)
    })
  })
}

/** Notes what a guest says until the next answer, or a container in it. */
function noteIn(said: Said[], container?: number): GuestListener {
  const note = (method: Said[1]) => (ns: number, text: string, code?: number) =>
    void said.push([container, method, ns, text, code ?? 0])
  const inside = (other: number): GuestListener => noteIn(said, other)
  return { line: note('line'), report: note('report'), status: note('status'), ended: note('ended'), inside }
}

class GuestServer {
  readonly #host: ClusterHost
  readonly #guests = new Map<number, { readonly guest: ClusterGuest; readonly said: Said[] }>()
  readonly #disks = new Map<number, Disk>()

  constructor(host: ClusterHost) {
    this.#host = host
  }

  async answer({ guest: id, calls }: Request): Promise<Reply> {
    try {
      let text: string | undefined
      let of = id
      for (const call of calls) {
        text = await this.#do(id, call)
        if (call.do === 'fork') of = call.clone
      }
      const served = of === undefined ? undefined : this.#guests.get(of)
      if (served === undefined) return { told: undefined, said: [], sent: [], text }
      const { guest, said } = served
      const told = { now: guest.now(), next: guest.next(), room: guest.card.room }
      return { told, said: said.splice(0), sent: guest.card.take(), text }
    } catch (error) {
      return { told: undefined, said: [], sent: [], error: tellError(error) }
    }
  }

  async #do(id: number | undefined, call: Call): Promise<string | undefined> {
    if (call.do === 'disk') return this.#toDisk(call.disk, call.act)
    if (id === undefined) throw new Error(`${call.do}: no guest is named`)
    if (call.do === 'make') {
      const said: Said[] = []
      const start = { ...call.start, disk: this.#disk(call.start.disk) }
      this.#guests.set(id, { guest: await this.#host.make(call.machine, start, noteIn(said)), said })
      return undefined
    }
    const guest = this.#guests.get(id)?.guest
    if (guest === undefined) throw new Error(`guest ${id} is not there`)
    if (call.do === 'runTo') return (await guest.runTo(call.ns, call.fromNs))?.reason
    if (call.do === 'digest') return guest.digest()
    if (call.do === 'deliver') guest.card.deliver(call.ns, call.frame)
    else if (call.do === 'hasten') await guest.card.hasten(call.ns)
    else if (call.do === 'turnClock') guest.turnClock(call.ns)
    else if (call.do === 'names') guest.names?.(call.named)
    else if (call.do === 'disturb') guest.disturb(call.kind, call.amount, call.of)
    else if (call.do === 'kill') guest.kill(call.name, call.of)
    else if (call.do === 'start') await guest.start(call.name, ...call.given)
    else if (call.do === 'fork') {
      const said: Said[] = []
      this.#guests.set(call.clone, { guest: await guest.fork(noteIn(said), this.#disk(call.disk)), said })
    } else {
      guest.close()
      this.#guests.delete(id)
    }
    return undefined
  }

  #disk(id: number | undefined): Disk | undefined {
    return id === undefined ? undefined : this.#disks.get(id)
  }

  #toDisk(id: number, act: DiskAct): string | undefined {
    if (act.act === 'make') this.#disks.set(id, new Disk(act.bytes, act.seed, act.name))
    const disk = this.#disks.get(id)
    if (disk === undefined) throw new Error(`disk ${id} is not there`)
    if (act.act === 'copy') this.#disks.set(act.to, disk.copy())
    else if (act.act === 'reseed') disk.reseed(act.seed)
    else if (act.act === 'trouble') disk.trouble(act.trouble)
    else if (act.act === 'stall') disk.stall(act.ns)
    else if (act.act === 'reset') disk.reset()
    else if (act.act === 'losePower') return JSON.stringify(disk.losePower(act.lost))
    else if (act.act === 'close') this.#disks.delete(id)
    return undefined
  }
}

/** Tells an error to another thread. */
export function tellError(error: unknown): ErrorTold {
  const { name, message, code } = (error instanceof Error ? error : new Error(`${error}`)) as Error & { code?: unknown }
  return { name, message, code: typeof code === 'string' ? code : undefined }
}
