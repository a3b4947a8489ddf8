// Loops over numbers, objects, strings and maps, as often as the argument says.
const rounds = Number(process.argv[2])

function mandelbrot(size) {
  let inside = 0
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [cr, ci] = [(2.5 * x) / size - 2, (2 * y) / size - 1]
      let [zr, zi, n] = [0, 0, 0]
      for (; n < 50 && zr * zr + zi * zi < 4; n++) {
        const next = zr * zr - zi * zi + cr
        zi = 2 * zr * zi + ci
        zr = next
      }
      if (n === 50) inside++
    }
  }
  return inside
}

class Node {
  constructor(key) {
    this.key = key
    this.left = null
    this.right = null
  }
}

function tree(count) {
  let state = 12345
  let root = null
  let depth = 0
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    const made = new Node(state)
    let at = root
    let level = 0
    if (root === null) root = made
    while (at !== null) {
      level++
      const side = state < at.key ? 'left' : 'right'
      if (at[side] === null) {
        at[side] = made
        break
      }
      at = at[side]
    }
    depth = Math.max(depth, level)
  }
  return depth
}

function words(count) {
  const counts = new Map()
  for (let i = 0; i < count; i++) {
    const word = `w${(i * 7919) % 997}`
    counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  const sorted = [...counts].sort()
  return JSON.parse(JSON.stringify(sorted)).length + sorted.map(([word]) => word.replace(/\d/g, '#')).join('').length
}

let sum = 0
for (let round = 0; round < rounds; round++) sum += mandelbrot(60 + (round % 3)) + tree(2000) + words(3000)
console.log(`${rounds} rounds: ${sum}`)
