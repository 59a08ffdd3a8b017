(function () {
  var source = document.getElementById("dynsys-results");
  var link = document.getElementById("dynsys-download");
  if (!source || !link || !window.URL || !window.Blob) { return; }
  link.href = URL.createObjectURL(new Blob([source.textContent], { type: "application/json" }));
  link.hidden = false;
})();
