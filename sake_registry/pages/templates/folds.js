// On paper nothing is folded.
addEventListener('beforeprint', () => {
  for (const fold of document.querySelectorAll('.fold')) fold.open = true;
});
