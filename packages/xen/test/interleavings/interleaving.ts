import type { Rng } from '@retrap/tooling/soak'
import { Emulator } from './emulator.ts'
import { Host, Remote } from './hosts.ts'
import { baseOf } from './parties.ts'
import { Broken } from './witness.ts'
import { World, type Mutation, type Party, type Stage } from './world.ts'

/** Rounds in which everybody does all that is asked of him, after which nobody may still wait. */
const ROUNDS = 60
/** Of these, those in which what is held stays held. */
const HOLDING = 3
/** Servers that there are at most. */
const MOST_PARTIES = 5

/** What there was to see. */
export interface Seen {
  readonly deadlocks: number
}

/**
 * One random interleaving of everything that may happen to a guest's map: `actions` steps, each by somebody else, and what
 * must hold is looked at after each. Then everybody finishes, and nobody may wait for ever.
 *
 * @throws Broken
 */
export async function interleave(
  stage: Stage,
  rng: Rng,
  actions: number,
  mutation: Mutation | null = null,
): Promise<Seen> {
  const world = new World(stage, rng, mutation)
  const cast = new Cast(world)
  const count = rng.between(1, 3)
  for (let i = 0; i < count; i++) cast.enter()
  for (; world.at < actions; world.at++) {
    let text = cast.act()
    // Who has nothing to do lets another one do something.
    for (let i = 0; i < 4 && text === undefined; i++) text = cast.act()
    await settled()
    if (text !== undefined) rng.note(`${world.at}`, text)
    stage.look()
    world.check()
  }
  await finish(world)
  const { deadlocks } = world
  await world.close()
  return { deadlocks }
}

/** Lets promises run that wait for nothing but each other. */
async function settled(): Promise<void> {
  for (let i = 0; i < 7; i++) await Promise.resolve()
}

async function finish(world: World): Promise<void> {
  const { stage } = world
  stage.setRunning(true)
  // A pager may wait for a frame.
  world.freeNeighbours()
  let idle = 0
  for (let round = 0; round < ROUNDS; round++) {
    // What is asked of them comes first; what they hold is to keep the rest waiting until then.
    const busy = world.parties.map((party) => party.finish(round > HOLDING)).includes(true)
    await settled()
    // Where nobody else has anything to do, those who wait for what hangs have waited long enough.
    idle = busy || round <= HOLDING ? 0 : idle + 1
    if (idle > 2) {
      idle = 0
      stage.expire()
      await settled()
    }
    stage.rest()
    await settled()
    await settled()
    world.at++
    stage.look()
    world.check()
    if (
      !busy &&
      round > HOLDING &&
      world.waits === 0 &&
      stage.waiting() === undefined &&
      world.invalidations.unsettled === 0
    )
      break
  }
  const waiting = stage.waiting()
  if (waiting !== undefined) throw new Broken(`${waiting} waits for ever`)
  if (world.waits > 0) throw new Broken(`${world.waits} of those who changed the map wait for ever`)
  const { unsettled } = world.invalidations
  if (unsettled > 0) throw new Broken(`${unsettled} runs of frames are kept for ever`)
}

/** Everybody. */
class Cast {
  readonly #world: World
  #entered = 0
  #running = true

  constructor(world: World) {
    this.#world = world
  }

  /** A server comes. */
  enter(): string {
    const { rng, parties } = this.#world
    const number = this.#entered++
    const base = baseOf(number)
    const party = ((): Party => {
      switch (rng.below(5)) {
        case 0:
          return new Host(this.#world, `host ${number}`, base)
        case 1:
          return new Remote(this.#world, `remote ${number}`, base)
        default:
          return new Emulator(this.#world, `emulator ${number}`, base, {
            ranges: rng.chance(),
            droppable: rng.chance(),
          })
      }
    })()
    parties.push(party)
    if (party instanceof Emulator && rng.chance(3, 4)) party.setEnabled(true)
    return `${party.name} comes`
  }

  act(): string | undefined {
    const world = this.#world
    const { rng, parties, stage } = world
    const kind = rng.below(32)
    if (kind < 12) return stage.turn()
    if (kind < 25) return parties.length > 0 ? rng.pick(parties).act() : undefined
    switch (kind) {
      case 25:
        return this.#toolstack()
      case 26:
        return world.neighbour()
      case 27:
        return rng.chance() ? this.#life() : undefined
      case 28:
        return rng.chance(1, 4) ? stage.cancel() : undefined
      case 29:
        if (rng.chance(3, 4)) return undefined
        this.#running = !this.#running
        stage.setRunning(this.#running)
        return this.#running ? 'the domain runs' : 'the domain does not run'
      default:
        return parties.length > 0 ? rng.pick(parties).act() : undefined
    }
  }

  #toolstack(): string {
    const world = this.#world
    const { text, make } = world.randomChange('the toolstack')
    world.waits++
    const wait = async (): Promise<void> => {
      const { result: call, ticket } = await world.changes.request(() => world.fromOutside(make()))
      await ticket.wait()
      world.checkReturned(call, undefined)
    }
    wait()
      .catch((error: unknown) => {
        if ((error as { code?: string }).code === 'ERR_DEADLOCK') world.deadlocks++
        else world.broken ??= error
      })
      .finally(() => world.waits--)
    return text
  }

  #life(): string | undefined {
    const { rng, parties } = this.#world
    if (parties.length < MOST_PARTIES && rng.chance()) return this.enter()
    if (parties.length === 0) return undefined
    const at = rng.below(parties.length)
    const party = parties[at] as Party
    if (rng.chance(1, 3)) {
      parties.splice(at, 1)
      party.die()
      const left = [...party.reaches].length + party.grip.frames.size
      if (left > 0) throw new Broken(`${party.name} has died and reaches ${left} frames`)
      return `${party.name} dies`
    }
    party.setEnabled(!party.server.enabled)
    return `${party.name} is ${party.server.enabled ? 'enabled' : 'disabled'}`
  }
}
