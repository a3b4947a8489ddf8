import type { Machine } from '@retrap/web'
import { keepMachine, type SavedDetails, type SavedMachine } from '../saved-machines.ts'
import type { Chosen } from '../settings.ts'

/** CSS pixels of a thumbnail. */
const [WIDTH, HEIGHT] = [288, 180]
/** Size of the terminal's end in a picture, as much as is legible. */
const [ROWS, COLUMNS] = [24, 80]

/** Returns a small picture of the visible machine: of its screen, or else of its terminal. */
function thumbnail(): string {
  const canvas = document.createElement('canvas')
  ;[canvas.width, canvas.height] = [WIDTH, HEIGHT]
  const context = canvas.getContext('2d')!
  context.fillStyle = '#101314'
  context.fillRect(0, 0, WIDTH, HEIGHT)
  const screen = document.querySelector<HTMLCanvasElement>('section:not([hidden]) > .screen canvas')
  if (screen !== null) {
    const scale = Math.min(WIDTH / screen.width, HEIGHT / screen.height)
    const [width, height] = [screen.width * scale, screen.height * scale]
    context.drawImage(screen, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height)
  } else {
    context.fillStyle = '#e3e6e4'
    context.font = `${(WIDTH / COLUMNS) * 1.6}px ui-monospace, monospace`
    const lines = [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent.trimEnd())
    const end = lines.findLastIndex((line) => line !== '') + 1
    lines.slice(Math.max(0, end - ROWS), end).forEach((line, i) => {
      context.fillText(line, 4, ((i + 1) * (HEIGHT - 8)) / ROWS, WIDTH - 8)
    })
  }
  return canvas.toDataURL('image/webp', 0.6)
}

/** Saves a machine in the user's list. @throws Error with the reason */
export async function saveMachine(machine: Machine, chosen: Chosen, details: SavedDetails): Promise<SavedMachine> {
  const file = await machine.save()
  return keepMachine(chosen, file, { thumbnail: thumbnail(), ...details })
}
