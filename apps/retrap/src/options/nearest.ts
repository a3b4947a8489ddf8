/** Edits that turn one text into another: characters put in, taken out, replaced, or swapped with the next one. */
function distance(a: string, b: string): number {
  let [last, before] = [[] as number[], Array.from({ length: b.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = before[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(row[j - 1]! + 1, before[j]! + 1, replaced)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, last[j - 2]! + 1)
    }
    ;[last, before] = [before, row]
  }
  return before[b.length]!
}

/** Returns `; did you mean NAME?` for the name that is most like a wrong one; an empty text where none is. */
export function didYouMean(wrong: string, names: readonly string[]): string {
  const [nearest] = names
    .map((name) => ({ name, edits: distance(wrong.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.floor(Math.max(name.length, wrong.length) / 3)))
    .toSorted((a, b) => a.edits - b.edits)
  return nearest === undefined ? '' : `; did you mean '${nearest.name}'?`
}
