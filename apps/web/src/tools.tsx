// Tools that need no machine: nothing of one is loaded.
import { render } from 'preact'
import { Disassembler } from './tools/disassembler.tsx'
import { Syndromes } from './tools/syndromes.tsx'

// The page's program has loaded: remove the text for browsers without it.
const place = document.getElementById('app')!
place.replaceChildren()
render(
  <>
    <header>
      <h1>
        <a href="./">retrap</a>
      </h1>
      <span class="soft">tools without a machine</span>
    </header>
    <main class="columns">
      <Disassembler />
      <Syndromes />
    </main>
  </>,
  place,
)
