import { Screen } from '@retrap/display'

// A graphics card of four pixels, and the screen that it is connected to.
const memory = Uint8Array.of(0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0)
const screen = new Screen()
const all = [{ x: 0, y: 0, width: 2, height: 2 }]
screen.connect({
  refresh() {
    screen.setMode({ width: 2, height: 2, stride: 8, format: 'bgrx8888' })
    screen.draw(memory, all)
  },
  update: () => screen.draw(memory, all),
})

screen.refresh()
console.log([...screen.pixels].map((pixel) => pixel.toString(16).padStart(6, '0')).join(' '))
console.log(`${(await screen.toPng()).subarray(1, 4).join(' ')}: the letters PNG`)

// Output:
// ff0000 00ff00 0000ff ffffff
// 80 78 71: the letters PNG
